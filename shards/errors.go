package shards

import "fmt"

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
