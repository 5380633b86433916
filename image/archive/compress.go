package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// zstdOptions are for the time of unpacking, which every boot takes: with --fast,
// literals are not packed. The archive is a quarter larger than at best, and
// unpacks with a quarter fewer instructions (227 million instead of 300). One
// thread, because with more the bytes could depend on their number.
var zstdOptions = []string{"--fast=1", "--single-thread"}

// Compressor is what Compress packs with: another version or other options may
// give other bytes.
func Compressor(ctx context.Context) (string, error) {
	version, err := runZstd(ctx, nil, "-q", "--version")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("zstd %s %s", bytes.TrimSpace(version), strings.Join(zstdOptions, " ")), nil
}

// Compress packs with zstd, in a form that the kernel unpacks
// (lib/decompress_unzstd.c), with a checksum. The size goes into the frame's
// header: of a small archive the kernel then allocates no more than that.
func Compress(ctx context.Context, plain []byte) ([]byte, error) {
	args := append([]string{"-q", "-c", "--check", "--stream-size=" + strconv.Itoa(len(plain))}, zstdOptions...)
	return runZstd(ctx, plain, args...)
}

// Decompress unpacks what Compress has packed.
func Decompress(ctx context.Context, packed []byte) ([]byte, error) {
	return runZstd(ctx, packed, "-q", "-d", "-c")
}

// runZstd runs zstd as a filter. It is the program and not a Go library, because
// that packs a tenth worse; the build of the kernel needs the program anyway.
func runZstd(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "zstd", args...)
	command.Stdin = bytes.NewReader(input)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("zstd is missing: apt-get install zstd: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("zstd: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return output, nil
}
