//go:build !linux

package stages

// ThreadCPU is zero: the system does not tell.
func ThreadCPU() CPU { return CPU{} }
