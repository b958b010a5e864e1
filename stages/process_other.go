//go:build !unix

package stages

import "time"

// ProcessCPU is 0: the system does not tell.
func ProcessCPU() time.Duration { return 0 }
