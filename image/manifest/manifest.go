// Package manifest owns manifest.json, the description of a built image: what it
// is built from, and the size and hash of each of its files. It is pure.
package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Manifest describes one image.
type Manifest struct {
	Version    string     `json:"version"`
	Arch       string     `json:"arch"` // as Go names it
	Source     Source     `json:"source"`
	Kernel     Kernel     `json:"kernel"`
	Go         string     `json:"go"`         // go1.26.8
	Compressor string     `json:"compressor"` // of the initramfs: program, version, options
	Packer     string     `json:"packer"`     // of the file system of commands in it, likewise
	Commands   []string   `json:"commands"`   // of the busybox, sorted
	Artefacts  []Artefact `json:"artefacts"`
}

// Source is the state of the source tree.
type Source struct {
	Commit string    `json:"commit"` // 40 hexadecimal digits, or empty
	Dirty  bool      `json:"dirty"`  // the tree had changes on top of Commit
	Time   time.Time `json:"time"`   // SOURCE_DATE_EPOCH
}

// Kernel is the kernel and the Debian package that its source came in.
type Kernel struct {
	Release string `json:"release"` // as uname -r says
	Package string `json:"package"`
	Version string `json:"version"` // of the package
}

// Artefact is one file of the image.
type Artefact struct {
	Name     string `json:"name"`
	Size     int    `json:"size"` // bytes
	SHA256   string `json:"sha256"`
	Unpacked *Plain `json:"unpacked,omitempty"` // of a compressed file
}

// Plain is a compressed file before compression.
type Plain struct {
	Size   int    `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Describe gives the artefact for a file's contents.
func Describe(name string, contents []byte) Artefact {
	return Artefact{Name: name, Size: len(contents), SHA256: Hash(contents)}
}

// DescribeCompressed also tells what the contents were before compression.
func DescribeCompressed(name string, contents, plain []byte) Artefact {
	artefact := Describe(name, contents)
	artefact.Unpacked = &Plain{Size: len(plain), SHA256: Hash(plain)}
	return artefact
}

// Hash is the SHA-256 in hexadecimal.
func Hash(contents []byte) string {
	sum := sha256.Sum256(contents)
	return hex.EncodeToString(sum[:])
}

// Artefact finds a file by its name.
func (m Manifest) Artefact(name string) (Artefact, bool) {
	i := slices.IndexFunc(m.Artefacts, func(a Artefact) bool { return a.Name == name })
	if i < 0 {
		return Artefact{}, false
	}
	return m.Artefacts[i], true
}

// Holds tells whether contents are what the manifest says of the file: same bytes,
// packed by the same compressor from the same plain bytes.
func (m Manifest) Holds(name, compressor string, contents, plain []byte) bool {
	artefact, ok := m.Artefact(name)
	return ok && m.Compressor == compressor &&
		artefact.Unpacked != nil && artefact.Unpacked.SHA256 == Hash(plain) &&
		artefact.SHA256 == Hash(contents)
}

// Encode gives the file's bytes.
func (m Manifest) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return append(text, '\n'), nil
}

// Decode reads what Encode has written.
func Decode(text []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}
