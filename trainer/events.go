package trainer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// eventWriter writes scalars for TensorBoard: one file a start of the run,
// events.out.tfevents.SECONDS.HOST, which TensorBoard reads in the order of names
// and draws as one curve. An event file is never appended to, so a record torn by
// a kill ends its file and harms nothing after it. It serves one goroutine, and
// its first error sticks.
//
// A file is a row of records, each
//
//	length u64 | masked crc32c of length u32 | data | masked crc32c of data u32
//
// in little endian, where data is an Event message of TensorFlow's event.proto and
// the mask is the one of TFRecord files.
type eventWriter struct {
	file    *os.File
	out     *bufio.Writer
	record  []byte // scratch
	started bool
}

// Fields of the messages in event.proto and summary.proto.
const (
	eventWallTime    = 1 // double, seconds since 1970
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5 // Summary
	eventSessionLog  = 7 // SessionLog
	summaryValue     = 1 // repeated Value
	valueTag         = 1 // string
	valueSimple      = 2 // float
	sessionStatus    = 1 // enum
	sessionStart     = 1 // the value START
)

// castagnoli makes the CRC32C of the records.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newEventWriter creates an event file in dir, which must exist.
func newEventWriter(dir string) (*eventWriter, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost" // the name only tells files apart
	}
	var f *os.File
	for at := time.Now().Unix(); ; at++ { // a second start within the second takes the next one's name
		f, err = os.OpenFile(filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.%s", at, host)),
			os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("trainer: TensorBoard events: %w", err)
	}
	w := &eventWriter{file: f, out: bufio.NewWriter(f)}
	version := protowire.AppendTag(nil, eventFileVersion, protowire.BytesType)
	version = protowire.AppendString(version, "brain.Event:2")
	if err := w.event(0, version); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// scalar adds one point to the curve tag. TensorBoard keeps float32. The first
// scalar's step also marks the start of a session: points of earlier files at that
// step or later belong to work that a resumed run does again, and TensorBoard
// drops them.
func (w *eventWriter) scalar(tag string, step int, value float64) error {
	if !w.started {
		w.started = true
		log := protowire.AppendTag(nil, sessionStatus, protowire.VarintType)
		log = protowire.AppendVarint(log, sessionStart)
		if err := w.event(step, message(eventSessionLog, log)); err != nil {
			return err
		}
	}
	v := protowire.AppendTag(nil, valueTag, protowire.BytesType)
	v = protowire.AppendString(v, tag)
	v = protowire.AppendTag(v, valueSimple, protowire.Fixed32Type)
	v = protowire.AppendFixed32(v, math.Float32bits(float32(value)))
	return w.event(step, message(eventSummary, message(summaryValue, v)))
}

// flush makes what was written visible to readers.
func (w *eventWriter) flush() error { return w.fault(w.out.Flush()) }

// close flushes and closes the file.
func (w *eventWriter) close() error {
	return errors.Join(w.flush(), w.fault(w.file.Close()))
}

// event writes one record: an Event of now at step with the encoded field what.
func (w *eventWriter) event(step int, what []byte) error {
	const header = 8 + 4
	b := append(w.record[:0], make([]byte, header)...)
	b = protowire.AppendTag(b, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(time.Now().UnixMicro())/1e6))
	if step != 0 {
		b = protowire.AppendTag(b, eventStep, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(step))
	}
	b = append(b, what...)
	binary.LittleEndian.PutUint64(b, uint64(len(b)-header))
	binary.LittleEndian.PutUint32(b[8:], masked(b[:8]))
	b = binary.LittleEndian.AppendUint32(b, masked(b[header:]))
	w.record = b
	_, err := w.out.Write(b)
	return w.fault(err)
}

func (w *eventWriter) fault(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("trainer: TensorBoard events: %w", err)
}

// message encodes a field that holds a message.
func message(field protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), data)
}

// masked is the CRC32C of b, rotated and shifted so that a CRC over data that
// holds CRCs stays a good one.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
