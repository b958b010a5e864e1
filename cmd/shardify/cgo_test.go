//go:build cgo

package main

// cgo says that libjpeg decodes; image/jpeg refuses some sound pictures and takes some damaged ones.
const cgo = true
