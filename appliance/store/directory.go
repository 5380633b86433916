package store

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxFile is the largest file that is read: room for the largest
// configuration and what is written above it.
const maxFile = 32 << 20

// Directory is a FileSystem of real files below one directory, which symbolic
// links do not lead out of.
type Directory struct {
	root *os.Root
}

// OpenDirectory opens a directory, such as a mounted volume.
func OpenDirectory(name string) (*Directory, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open state directory: %w", err)
	}
	return &Directory{root}, nil
}

// Close lets go of the directory, so that it can be unmounted.
func (d *Directory) Close() error { return d.root.Close() }

// ReadFile reads a file.
func (d *Directory) ReadFile(name string) (data []byte, err error) {
	file, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return data, err
}

// List gives the names of the files of a directory.
func (d *Directory) List(directory string) (names []string, err error) {
	file, err := d.root.Open(directory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	entries, err := file.ReadDir(-1)
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// MakeDirectory makes a directory that only root can enter.
func (d *Directory) MakeDirectory(name string) error { return d.root.Mkdir(name, 0o700) }

// WriteFile writes a file and syncs it.
func (d *Directory) WriteFile(name string, data ...[]byte) (err error) {
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Chmod(0o600); err != nil { // it may be there with another mode
		return err
	}
	for _, part := range data {
		if _, err := file.Write(part); err != nil {
			return err
		}
	}
	return file.Sync()
}

// Rename gives a file another name, which may be taken.
func (d *Directory) Rename(from, to string) error { return d.root.Rename(from, to) }

// Remove removes a file.
func (d *Directory) Remove(name string) error { return d.root.Remove(name) }

// SyncDirectory syncs a directory.
func (d *Directory) SyncDirectory(name string) (err error) {
	file, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return file.Sync()
}
