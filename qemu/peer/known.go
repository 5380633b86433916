package peer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dipper/kernel-config/cache"
)

// aptInputs are the files and directories that apt's answers come from.
var aptInputs = []string{"/etc/apt", "/var/lib/apt/lists", "/var/lib/dpkg/status"}

// known is what ask answers, a line each, remembered in dir for as long as the
// inputs stay as they are. apt-cache needs two seconds of a processor to list the
// packages of a peer, and every cluster begins with them.
func known(ctx context.Context, dir string, inputs []string, ask func(context.Context) ([]string, error)) ([]string, error) {
	state, err := stateOf(inputs)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, hash(append(state, packages...)...)+".versions")
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.Fields(string(text)), cache.Use(path, time.Now())
	}
	lines, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	// The cache is locked, and half a file must not be taken for all of it.
	unfinished := filepath.Join(dir, "unfinished-versions")
	if err := os.WriteFile(unfinished, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	return lines, os.Rename(unfinished, path)
}

// stateOf tells files apart by their names, times and sizes. What is missing or
// not to be read is no part of it: a directory of apt's own sandbox, mostly.
func stateOf(inputs []string) ([]string, error) {
	var state []string
	for _, input := range inputs {
		err := filepath.WalkDir(input, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			state = append(state, fmt.Sprint(path, info.ModTime().UnixNano(), info.Size()))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("what apt knows: %w", err)
		}
	}
	return state, nil
}
