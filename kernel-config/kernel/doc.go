// Package kernel builds Dipper's kernel: it finds Debian's kernel source, merges
// the configuration fragments onto allnoconfig, holds the result against what was
// asked for, builds a reproducible image and keeps it in a cache.
//
// It owns the cache below Options.Cache. It does not know which options Dipper
// wants: fragments come in as a file system.
package kernel
