package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"path"
	"strconv"
	"strings"
)

// A revision's file is a boot config with one comment above it, so that it can
// be read, compared and booted with everywhere.
const heading = "# dipper: "

// lastRevision is one a second for three years: no file of ours has a higher
// number.
const lastRevision = 99_999_999

func revisionFile(number int) string {
	return path.Join(revisionsDir, fmt.Sprintf("%08d.yaml", number))
}

// revisionNumber reads a number off a file's name.
func revisionNumber(name string) (int, bool) {
	digits, found := strings.CutSuffix(name, ".yaml")
	number, err := strconv.Atoi(digits)
	return number, found && err == nil && number > 0 && number <= lastRevision && path.Base(revisionFile(number)) == name
}

// sum tells a file that was damaged from a whole one. It is the sum that ext4
// has for its own blocks (RFC 3720, appendix B.4), which processors count in no
// time; SHA-256 of a large configuration took longer than all else of a commit.
func sum(configuration []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(configuration, crc32.MakeTable(crc32.Castagnoli)))
}

// whole says that a configuration is the one that was written.
func (r Revision) whole(configuration []byte) bool {
	if r.SHA256 == "" {
		return r.Sum == sum(configuration)
	}
	digest := sha256.Sum256(configuration)
	return r.SHA256 == hex.EncodeToString(digest[:])
}

// describe gives the line above the configuration in the file of a revision.
func describe(r Revision) ([]byte, error) {
	about, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	return []byte(heading + string(about) + "\n"), nil
}

// decode reads the file of a revision, and holds it against its sum.
func decode(number int, file []byte) (Revision, []byte, error) {
	line, configuration, found := bytes.Cut(file, []byte("\n"))
	about, described := bytes.CutPrefix(line, []byte(heading))
	if !found || !described {
		return Revision{}, nil, fmt.Errorf("revision %d is damaged: its first line says nothing about it", number)
	}
	var r Revision
	if err := json.Unmarshal(about, &r); err != nil {
		return Revision{}, nil, fmt.Errorf("revision %d is damaged: %w", number, err)
	}
	if r.Number != number || !r.whole(configuration) {
		return Revision{}, nil, fmt.Errorf("revision %d is damaged: its content is not what was written", number)
	}
	return r, configuration, nil
}
