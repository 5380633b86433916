package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dipper/image/busybox"
	"dipper/image/manifest"
	"dipper/image/rootfs"
	"dipper/image/squashfs"
	"dipper/kernel-config/cache"
)

// commands is the file system of the busybox, and by what it was packed. Packing
// takes some seconds, so that it is kept in the cache.
func (o order) commands(ctx context.Context, box busybox.Busybox, executable []byte) (packed []byte, packer string, err error) {
	if packer, err = squashfs.Packer(ctx); err != nil {
		return nil, "", err
	}
	key := manifest.Hash(fmt.Appendf(nil, "%s\n%s\n%q\n", packer, manifest.Hash(executable), box.Commands))
	path := filepath.Join(o.cache, "commands", key)
	packed, err = os.ReadFile(path)
	if err == nil {
		return packed, packer, cache.Use(path, time.Now())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	nodes, err := rootfs.Programs(executable, box.Commands)
	if err != nil {
		return nil, "", err
	}
	o.progress("packing the busybox's file system")
	if packed, err = squashfs.Pack(ctx, nodes); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, "", err
	}
	return packed, packer, writeFile(path, packed)
}
