package host

// A batch norm of either direction is a pass that finds two numbers a channel and
// one that uses them. Synchronised, the data-parallel group pools the numbers in
// between, so that its members together compute what one device would on the whole
// batch.

// newMoments returns room for two numbers a channel.
func newMoments(channels int) (first, second []float64) {
	both := make([]float64, 2*channels)
	return both[:channels], both[channels:]
}

// pooled makes the kernel of a batch norm over rows rows of this member: find
// fills first and second, pool makes them the group's, use is given the group's rows.
func (b *binding) pooled(sync bool, rows float64, first, second []float64, pool func(c *comm, first, second []float64) error,
	find func(), use func(rows float64)) kernel {
	if c := b.comm; sync && c != nil {
		return func() error {
			find()
			if err := pool(c, first, second); err != nil {
				return err
			}
			use(rows * float64(c.Size()))
			return nil
		}
	}
	return func() error {
		find()
		use(rows)
		return nil
	}
}

// poolMoments makes the means and biased variances of equal parts those of the
// whole. The variances are taken about the common mean: the difference of large
// squares would lose digits.
func poolMoments(c *comm, mean, variance []float64) error {
	common := make([]float32, 2*len(mean))
	spread := common[len(mean):]
	narrow(common, mean)
	share := 1 / float32(c.Size())
	if err := c.allReduce([][]float32{common[:len(mean)]}, share); err != nil {
		return err
	}
	for i, v := range variance {
		d := mean[i] - float64(common[i])
		spread[i] = float32(v + d*d)
	}
	if err := c.allReduce([][]float32{spread}, share); err != nil {
		return err
	}
	widen(mean, common)
	widen(variance, spread)
	return nil
}

// poolSums adds two sums up.
func poolSums(c *comm, first, second []float64) error {
	a, b := make([]float32, len(first)), make([]float32, len(second))
	narrow(a, first)
	narrow(b, second)
	if err := c.allReduce([][]float32{a, b}, 1); err != nil {
		return err
	}
	widen(first, a)
	widen(second, b)
	return nil
}

func narrow(dst []float32, src []float64) {
	for i, x := range src {
		dst[i] = float32(x)
	}
}

func widen(dst []float64, src []float32) {
	for i := range dst {
		dst[i] = float64(src[i])
	}
}
