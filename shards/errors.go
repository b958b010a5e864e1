package shards

import (
	"errors"
	"fmt"
)

// A MalformedError says that bytes are damaged, cut short, or never were a data set.
type MalformedError struct {
	Place   string // file, and record where known: "train-00012.shard: record 881"
	Problem string // what is there and what should be
	Remedy  string // what to do
}

// Error gives place, problem and remedy on one line.
func (e *MalformedError) Error() string { return line(e.Place, e.Problem, e.Remedy) }

// An UnsupportedError says that the bytes may be sound but come from another version of the format.
type UnsupportedError struct {
	Place, Problem, Remedy string
}

// Error gives place, problem and remedy on one line.
func (e *UnsupportedError) Error() string { return line(e.Place, e.Problem, e.Remedy) }

// An IOError says that the file system did not give the bytes of an opened shard: the disk or the connection to it
// failed, or the file was cut short in place. It says nothing about a record, so no other record can stand in.
type IOError struct {
	Place  string // file
	Err    error  // the file system's; io.ErrUnexpectedEOF where bytes are missing
	Remedy string
}

// Error gives place, cause and remedy on one line.
func (e *IOError) Error() string { return line(e.Place, e.Err.Error(), e.Remedy) }

// Unwrap returns the file system's error.
func (e *IOError) Unwrap() error { return e.Err }

// OfRecord reports whether err is about the bytes of one record: damaged, or of a kind this program does not know. The
// records beside it can still be read. Every other error of Read is the file system's.
func OfRecord(err error) bool {
	var m *MalformedError
	var u *UnsupportedError
	return errors.As(err, &m) || errors.As(err, &u)
}

func line(place, problem, remedy string) string {
	s := "shards: " + place + ": " + problem
	if remedy != "" {
		s += " (" + remedy + ")"
	}
	return s
}

const remakeIt = "copy the data set again or run shardify anew"

func malformed(place, format string, args ...any) error {
	return &MalformedError{Place: place, Problem: fmt.Sprintf(format, args...), Remedy: remakeIt}
}

func unsupported(place, format string, args ...any) error {
	return &UnsupportedError{Place: place, Problem: fmt.Sprintf(format, args...), Remedy: "use a newer shardify and pipe"}
}
