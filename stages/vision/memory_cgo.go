//go:build cgo

package vision

// jpegSample is what libjpeg keeps of a sample of a progressive picture: a coefficient.
const jpegSample = 2
