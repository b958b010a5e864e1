package shards

// WindowBlocks is the largest number of blocks among which a block order mixes their
// records. The classes of a batch are as even as if drawn from so many random places
// of the data set, whatever the blocks' size (docs/shuffle.md has numbers).
const WindowBlocks = 256

// blocks is what a block order knows beyond the permutation of its whole blocks.
type blocks struct {
	size    int    // records a block
	first   int    // record with which block 0 begins: blocks lie on a ring
	places  int    // blocks, the short one included
	windows int    // among which the places are divided evenly
	inside  uint64 // key of the permutations inside windows
}

// NewBlockOrder returns an order for storage that is fast in sequence alone: it visits
// blocks of size consecutive records, and mixes the records of up to WindowBlocks
// blocks. Whoever reads needs one window in memory, and reads it in pieces of a block.
//
// In each epoch the records, laid on a ring, are cut into blocks at another place. The whole
// blocks are permuted, the short one that may be left comes last, so
// windows of blocks follow each other, and each window's records are permuted.
// Everything is computed, as it is for NewOrder: constant memory, a true permutation,
// and a start anywhere. Where one window holds all blocks it is a full shuffle.
func NewBlockOrder(n int, seed uint64, epoch, size int) Order {
	key := epochKey(seed, epoch)
	o := Order{n: max(n, 0)}
	if n < 2 {
		return o
	}
	size = min(max(size, 1), n)
	b := blocks{size: size, places: (n + size - 1) / size, inside: mix64(key ^ 0xbb67ae8584caa73b)}
	b.windows = (b.places + WindowBlocks - 1) / WindowBlocks
	// The bias of the remainder is below n/2^64.
	b.first = int(mix64(key^0x3c6ef372fe94f82b) % uint64(n))
	o.all, o.blocks = newNetwork(n/size, key), b
	return o
}

// window returns the positions of window w.
func (o *Order) window(w int) (lo, hi int) {
	b := &o.blocks
	return w * b.places / b.windows * b.size, min((w+1)*b.places/b.windows*b.size, o.n)
}

// windowOf returns the window of a position.
func (o *Order) windowOf(i int) int {
	b := &o.blocks
	return ((i/b.size+1)*b.windows - 1) / b.places
}

func (o *Order) blockAt(i int) int {
	b := &o.blocks
	w := o.windowOf(i)
	lo, hi := o.window(w)
	inside := network{n: hi - lo, half: halfOf(max(hi-lo, 2)), keys: o.all.keys}
	i = lo + inside.at(i-lo, mix64(b.inside+uint64(w)))
	return o.record(i)
}

// record returns the record at position i before windows are mixed.
func (o *Order) record(i int) int {
	b := &o.blocks
	place, within := i/b.size, i%b.size
	if place < o.all.n { // the short block stays last
		place = o.all.at(place, 0)
	}
	r := b.first + place*b.size + within
	if r >= o.n {
		r -= o.n
	}
	return r
}
