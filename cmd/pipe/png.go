package main

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
)

// writePNG writes a picture to the file that -o names.
func writePNG(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("sheet: %w (choose another -o)", err)
	}
	if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
		return fmt.Errorf("sheet %s: %w (choose another -o)", path, err)
	}
	return nil
}
