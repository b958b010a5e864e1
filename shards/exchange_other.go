//go:build !linux

package shards

import "errors"

// exchange is for file systems that can; see swap.
func exchange(_, _ string) error { return errors.ErrUnsupported }
