package store

import (
	"io/fs"
	"maps"
	"path"
	"slices"
)

// FileSystem is what a store needs of a file system. Names are relative, with
// slashes; errors are those of package fs, and ENOSPC, EROFS and EIO as they
// come.
type FileSystem interface {
	ReadFile(name string) ([]byte, error)
	// List gives the names of the files of a directory.
	List(directory string) ([]string, error)
	// MakeDirectory gives fs.ErrExist when there is one.
	MakeDirectory(name string) error
	// WriteFile makes a file that only root can read, or replaces what it
	// holds, and returns when its data, in one part or several, is on the disk.
	WriteFile(name string, data ...[]byte) error
	Rename(from, to string) error
	Remove(name string) error
	// SyncDirectory returns when what happened to the names in a directory is
	// on the disk.
	SyncDirectory(name string) error
}

// Memory is a FileSystem that ends with the process.
type Memory struct {
	files       map[string][]byte
	directories map[string]bool
}

// NewMemory makes an empty one.
func NewMemory() *Memory {
	return &Memory{make(map[string][]byte), map[string]bool{".": true}}
}

func failed(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// ReadFile gives a copy of a file.
func (m *Memory) ReadFile(name string) ([]byte, error) {
	data, there := m.files[name]
	if !there {
		return nil, failed("open", name, fs.ErrNotExist)
	}
	return slices.Clone(data), nil
}

// List gives the names of the files of a directory.
func (m *Memory) List(directory string) ([]string, error) {
	if !m.directories[directory] {
		return nil, failed("open", directory, fs.ErrNotExist)
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if path.Dir(name) == directory {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

// MakeDirectory makes a directory.
func (m *Memory) MakeDirectory(name string) error {
	if m.directories[name] {
		return failed("mkdir", name, fs.ErrExist)
	}
	if !m.directories[path.Dir(name)] {
		return failed("mkdir", name, fs.ErrNotExist)
	}
	m.directories[name] = true
	return nil
}

// WriteFile keeps a copy of the data.
func (m *Memory) WriteFile(name string, data ...[]byte) error {
	if !m.directories[path.Dir(name)] {
		return failed("open", name, fs.ErrNotExist)
	}
	m.files[name] = slices.Concat(data...)
	return nil
}

// Rename gives a file another name.
func (m *Memory) Rename(from, to string) error {
	data, there := m.files[from]
	if !there {
		return failed("rename", from, fs.ErrNotExist)
	}
	delete(m.files, from)
	m.files[to] = data
	return nil
}

// Remove removes a file.
func (m *Memory) Remove(name string) error {
	if _, there := m.files[name]; !there {
		return failed("remove", name, fs.ErrNotExist)
	}
	delete(m.files, name)
	return nil
}

// SyncDirectory does nothing: memory has nothing to sync to.
func (m *Memory) SyncDirectory(string) error { return nil }
