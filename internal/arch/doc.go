// Package arch holds no code: its test is the import policy of the project, a
// table of which package may import which, and refuses what the table does not
// list. It reads sources, not builds, so files behind build tags count too.
package arch
