package shards

import (
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is how a record's bytes lie in the file.
type Codec uint8

// Codecs of records. The values are written to disk.
const (
	None Codec = iota
	LZ4        // one LZ4 block
	Zstd       // one zstd frame
)

// String names the codec as --codec takes it.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// CodecNames lists what NewEncoder takes.
func CodecNames() []string { return []string{"auto", "none", "lz4", "zstd"} }

// minGain is the share of bytes a codec must save before a record is stored with it: a reader pays for
// decompression at every epoch, and entropy-coded pictures shrink by 0 to 3 %.
const minGain = 0.05

// An Encoder picks the codec of records. It is not safe for concurrent use: one a worker.
type Encoder struct {
	policy string
	zstd   *zstd.Encoder
	lz4    lz4.Compressor
}

// NewEncoder makes an encoder with policy auto, none, lz4 or zstd; "" is auto.
func NewEncoder(policy string) (*Encoder, error) {
	if policy == "" {
		policy = "auto"
	}
	if !slices.Contains(CodecNames(), policy) {
		return nil, fmt.Errorf("shards: codec %q, want one of %v", policy, CodecNames())
	}
	z, err := newZstdEncoder()
	if err != nil {
		return nil, err
	}
	return &Encoder{policy: policy, zstd: z}, nil
}

func newZstdEncoder() (*zstd.Encoder, error) {
	// A single segment, so that frames of less than 256 bytes say their size, too: a decoder allocates no more.
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true))
}

// Encode returns the bytes to store and their codec. A record is stored as it is unless a codec saves 5 %.
// Auto tries zstd; where it fails to pay lz4 would too, having no entropy coder. The result is data itself
// for None, otherwise dst grown.
func (e *Encoder) Encode(dst, data []byte) ([]byte, Codec) {
	limit := int(float64(len(data)) * (1 - minGain))
	switch e.policy {
	case "auto", "zstd":
		if out := e.zstd.EncodeAll(data, dst[:0]); len(out) <= limit && len(data) > 0 {
			return out, Zstd
		}
	case "lz4":
		dst = slices.Grow(dst[:0], lz4.CompressBlockBound(len(data)))
		n, err := e.lz4.CompressBlock(data, dst[:cap(dst)])
		if err == nil && n > 0 && n <= limit {
			return dst[:n], LZ4
		}
	}
	return data, None
}

// newZstdDecoder makes a decoder that never writes beyond the capacity it is given, so that no frame can
// make it allocate more than the index claims.
func newZstdDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(MaxRecord), zstd.WithDecoderMaxMemory(maxShard), zstd.WithDecoderLowmem(true))
}

// plausible says whether stored bytes can unpack to raw ones. It keeps a small damaged file from asking for
// much memory: an LZ4 byte stands for at most 255, a zstd block of 128 KiB takes at least 4.
func (c Codec) plausible(stored, raw int) bool {
	switch c {
	case None:
		return raw == stored
	case LZ4:
		return raw <= 255*stored
	}
	return raw <= (stored/4+1)*(128<<10)
}

// decode unpacks stored into dst, whose capacity is at least raw; exactly raw bytes must come out.
func decode(z *zstd.Decoder, codec Codec, dst, stored []byte, raw int) ([]byte, error) {
	dst = dst[:0:raw]
	switch codec {
	case LZ4:
		n, err := lz4.UncompressBlock(stored, dst[:raw])
		if err != nil {
			return nil, fmt.Errorf("lz4: %w", err)
		}
		dst = dst[:n]
	case Zstd:
		out, err := z.DecodeAll(stored, dst)
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		dst = out
	default:
		return nil, fmt.Errorf("%v", codec)
	}
	if len(dst) != raw {
		return nil, fmt.Errorf("%v gave %d bytes, want %d", codec, len(dst), raw)
	}
	return dst, nil
}
