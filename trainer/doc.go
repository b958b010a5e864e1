// Package trainer turns a recipe and a data set into a trained network.
//
// One training step is one graph: the model's forward pass, the loss, its
// gradients, all-reduce and the update, added in that order by stepGraph and
// compiled once for every device. The loop in train.go only moves batches in and
// losses out. The package names no backend: it works on whatever gpu.Devices it
// is handed.
//
// A run is a folder: config.toml (the resolved recipe), metrics.jsonl, TensorBoard
// event files and checkpoints/. Its position is one integer, the number of steps
// done. Every random choice is a function of the seed and that position, so a
// resumed run goes on with the very batches that the undisturbed one would see.
//
// Buffers: a replica owns its device's Vars, programs and loader and frees them in
// close; batches belong to the loader's ring and are released as soon as they are
// uploaded.
package trainer
