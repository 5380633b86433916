package peer

import (
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// programDirectories and libraryDirectories are where Debian's packages put
// things, and where shells and the loader look.
var (
	programDirectories = []string{"bin", "sbin", "usr/bin", "usr/sbin"}
	libraryDirectories = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "lib", "usr/lib"}
)

// libraries are the files below root that the programs, paths relative to root,
// need to run: loader, libraries, libraries of libraries, and the links by
// which they are found.
func libraries(root string, programs []string) ([]string, error) {
	found := make(map[string]bool)
	for queue := slices.Clone(programs); len(queue) > 0; queue = queue[1:] {
		needed, err := needs(filepath.Join(root, queue[0]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", queue[0], err)
		}
		for _, name := range needed {
			chain, err := locate(root, name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", queue[0], err)
			}
			for _, path := range chain {
				if !found[path] {
					found[path] = true
					queue = append(queue, path)
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// needs are the libraries that a file names, and its loader by its path. What is
// no ELF file, a script or a static program needs none.
func needs(path string) ([]string, error) {
	file, err := elf.Open(path)
	var format *elf.FormatError
	if errors.As(err, &format) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := file.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader := make([]byte, p.Filesz)
		if _, err := p.ReadAt(loader, 0); err != nil {
			return nil, err
		}
		names = append(names, string(loader[:len(loader)-1])) // without its final 0
	}
	return names, nil
}

// locate finds a library by its name: the file, and the links on the way to it.
func locate(root, name string) ([]string, error) {
	if filepath.IsAbs(name) {
		return follow(root, name[1:])
	}
	for _, directory := range libraryDirectories {
		path := filepath.Join(directory, name)
		if _, err := os.Lstat(filepath.Join(root, path)); err == nil {
			return follow(root, path)
		}
	}
	return nil, fmt.Errorf("library %s is in none of the packages", name)
}

func follow(root, path string) ([]string, error) {
	chain := []string{path}
	for {
		target, err := os.Readlink(filepath.Join(root, path))
		if err != nil {
			_, err := os.Stat(filepath.Join(root, path))
			return chain, err // not a link: the file itself
		}
		if filepath.IsAbs(target) {
			path = target[1:]
		} else {
			path = filepath.Join(filepath.Dir(path), target)
		}
		if slices.Contains(chain, path) {
			return nil, fmt.Errorf("%s: link to itself", path)
		}
		chain = append(chain, path)
	}
}
