package main

import (
	"errors"

	"bagpipe/shards"
)

// openSplit opens a data set and finds one of its splits. The data set is to be closed.
func openSplit(dir, name string) (*shards.Dataset, *shards.Split, error) {
	data, err := shards.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	split, err := data.Split(name)
	if err != nil {
		return nil, nil, errors.Join(err, data.Close())
	}
	return data, split, nil
}
