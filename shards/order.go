package shards

import (
	"fmt"
	"math/bits"
)

// rounds of the Feistel network. Four rounds of an ideal function already give a
// pseudo-random permutation (Luby and Rackoff, 1988); eight leave a margin for
// halves of few bits, and cost about 10 ns more.
const rounds = 8

// minHalf is the least number of bits of a half: below it the network reaches too
// few of the permutations of a small set.
const minHalf = 3

// Order is a pseudo-random permutation of the record numbers 0..n-1: the order in
// which one epoch visits a split. It is a value of constant size: position i is
// computed, not looked up, so the order of a billion records costs no memory, and a
// run resumed in the middle of an epoch starts at once.
//
// The permutation is a Feistel network, keyed by seed and epoch, over the
// smallest even number of bits that holds n; results of n or more are sent through
// again until one falls below n (cycle walking), which takes fewer than 4 passes on
// average and keeps it a permutation (Black and Rogaway, 2002).
//
// A block order (NewBlockOrder) is computed in the same way from two such
// permutations, one of blocks and one inside a window of blocks.
type Order struct {
	n      int
	all    network // of the records, or of the whole blocks
	blocks blocks  // zero: no blocks
}

// network is a keyed permutation of 0..n-1; the zero value of half and keys is the identity.
type network struct {
	n    int
	half uint // bits of one half; 0 is the identity
	keys [rounds]uint64
}

// NewOrder returns the order of the given epoch over n records; without shuffle it
// is 0, 1, .., n-1. The same arguments give the same order on every machine.
func NewOrder(n int, seed uint64, epoch int, shuffle bool) Order {
	o := Order{n: max(n, 0)}
	if shuffle {
		o.all = newNetwork(n, epochKey(seed, epoch))
	}
	return o
}

// epochKey is what all keys of an epoch come from.
func epochKey(seed uint64, epoch int) uint64 {
	return mix64(seed) ^ mix64(uint64(epoch)^0x6a09e667f3bcc908)
}

func newNetwork(n int, key uint64) network {
	p := network{n: n}
	if n < 2 {
		return p
	}
	p.half = halfOf(n)
	for i := range p.keys {
		key += 0x9e3779b97f4a7c15
		p.keys[i] = mix64(key)
	}
	return p
}

func halfOf(n int) uint { return uint(max((bits.Len(uint(n-1))+1)/2, minHalf)) }

// at maps i; the salt makes another permutation of the same keys.
func (p *network) at(i int, salt uint64) int {
	if p.half == 0 {
		return i
	}
	mask := uint64(1)<<p.half - 1
	x := uint64(i)
	for {
		l, r := x>>p.half, x&mask
		for _, k := range p.keys {
			l, r = r, l^(mix64(r^k^salt)&mask)
		}
		if x = l<<p.half | r; x < uint64(p.n) {
			return int(x)
		}
	}
}

// Len returns the number of records.
func (o Order) Len() int { return o.n }

// At returns the record number at position i of the order. It panics unless
// 0 <= i < Len, as a slice would.
func (o Order) At(i int) int {
	if uint(i) >= uint(o.n) {
		panic(fmt.Sprintf("shards: position %d of an order of %d records", i, o.n))
	}
	if o.blocks.size > 0 {
		return o.blockAt(i)
	}
	return o.all.at(i, 0)
}

// Part returns the positions lo <= i < hi that one rank visits at a step of the
// epoch. The global batch of a step is the positions
// [step*batch*world, (step+1)*batch*world), of which each rank takes batch
// consecutive ones, so that the ranks' batches laid end to end are the batch of a
// single rank of world times the size. Positions past the end of the order are cut
// off; hi == lo says that nothing is left for this rank.
func (o Order) Part(step, batch, rank, world int) (lo, hi int) {
	lo = (step*world + rank) * batch
	return min(lo, o.n), min(lo+batch, o.n)
}

// mix64 is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit of
// x flips each bit of the result with a probability close to one half.
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
