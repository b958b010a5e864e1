//go:build cgo

package vision

// jpegSample is what the decoders keep of a sample: libjpeg a coefficient, if the picture
// is progressive, the own one a byte, with a quarter to spare.
const jpegSample = 2 + 2
