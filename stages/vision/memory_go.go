//go:build !cgo

package vision

// jpegSample is what image/jpeg keeps of a sample of a progressive picture: a coefficient
// of 4 bytes, and the level.
const jpegSample = 4 + 1
