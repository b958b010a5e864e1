//go:build unix

package shards

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockDir keeps a second writer out of the folder for as long as the result is open. The lock goes with the
// process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
