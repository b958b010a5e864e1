//go:build !cgo || cuda

package host

// native is the state of the fast kernels, which this build has none of.
type native struct{}

func openNative(int) *native { return nil }

func (*native) close() {}

func (*native) library() string { return "Go + gonum" }

// work is memory that the kernels of one program share; Go kernels need none.
type work struct{}

func newWork(*program) (*work, error) { return nil, nil }

func (*work) close() error { return nil }

// fast returns the faster form of a node's kernel, or nil where there is none.
func fast(b *binding) (kernel, error) { return gemm(b) }
