package spdx

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

// Image is what an image is made of.
type Image struct {
	Version   string
	Commit    string // may be empty
	Time      time.Time
	Go        string // go1.26.8
	Kernel    Artefact
	Initramfs Artefact
	Source    KernelSource
	Init      Executable
	Busybox   Executable
	Roots     Module // the module with the certificates in the initramfs
}

// Artefact is a file of the image.
type Artefact struct {
	Name    string
	Version string
	SHA256  string // hexadecimal
}

// KernelSource is the Debian package that the kernel is built from.
type KernelSource struct {
	Package string
	Version string
}

// Executable is a file in the initramfs and the modules that are linked into it.
type Executable struct {
	Path    string // in the image: /init
	SHA256  string // hexadecimal
	Modules []Module
}

// Module is a Go module with its hash as in go.sum.
type Module struct {
	Path, Version, Sum string
}

// Encode gives the document for the image.
func Encode(image Image) ([]byte, error) {
	document, err := Describe(image)
	if err != nil {
		return nil, fmt.Errorf("spdx: %w", err)
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("spdx: %w", err)
	}
	return append(text, '\n'), nil
}

// Describe makes the document: the image contains the kernel and the initramfs,
// that contains the executables, and those the modules.
func Describe(image Image) (Document, error) {
	b := builder{seen: make(map[string]string)}
	root := b.add("", Package{
		Name: "dipper", VersionInfo: image.Version, PrimaryPackagePurpose: "FIRMWARE",
		Comment: "source: git commit " + orNone(image.Commit),
	})
	b.relate(documentID, "DESCRIBES", root)
	b.kernel(root, image.Kernel, image.Source)
	initramfs := b.artefact(root, image.Initramfs, "ARCHIVE")
	library := b.add("", standardLibrary(image.Go))
	for _, executable := range []Executable{image.Init, image.Busybox} {
		b.executable(initramfs, image.Version, library, executable)
	}
	b.relate(initramfs, "CONTAINS", b.module(image.Roots))
	if b.err != nil {
		return Document{}, b.err
	}
	document := Document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: "dipper-" + image.Version,
		CreationInfo: CreationInfo{
			Created:  image.Time.UTC().Format("2006-01-02T15:04:05Z"),
			Creators: []string{"Tool: dipper-image-" + image.Version},
		},
		Packages: b.packages, Relationships: b.relationships,
	}
	document.DocumentNamespace = namespace(document)
	return document, nil
}

func orNone(commit string) string {
	if commit == "" {
		return "none"
	}
	return commit
}

// namespace must differ between any two documents (clause 6.5) and not between two
// builds of the same image, so it ends in the hash of all the rest. It need not
// lead anywhere.
func namespace(document Document) string {
	text, err := json.Marshal(document)
	if err != nil {
		panic("BUG: an SPDX document is plain data: " + err.Error())
	}
	return fmt.Sprintf("https://spdx.org/spdxdocs/%s-%x", url.PathEscape(document.Name), sha256.Sum256(text))
}

// builder collects packages and relationships in order, and the first error.
type builder struct {
	packages      []Package
	relationships []Relationship
	seen          map[string]string // name by identifier
	err           error
}

// add completes a package with what is the same for all and gives its identifier,
// which is made of its name; suffix tells apart packages of the same name. A
// package that is there already is not added again.
func (b *builder) add(suffix string, p Package) string {
	p.SPDXID = identifier(p.Name + suffix)
	if name, ok := b.seen[p.SPDXID]; ok {
		if name != p.Name {
			b.fail(fmt.Errorf("%s and %s have the same identifier %s", name, p.Name, p.SPDXID))
		}
		return p.SPDXID
	}
	b.seen[p.SPDXID] = p.Name
	p.DownloadLocation = noAssertion
	p.LicenseConcluded = noAssertion
	p.CopyrightText = noAssertion
	if p.LicenseDeclared == "" {
		p.LicenseDeclared = noAssertion
	}
	b.packages = append(b.packages, p)
	return p.SPDXID
}

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *builder) relate(element, relation, related string) {
	b.relationships = append(b.relationships, Relationship{Element: element, Type: relation, Related: related})
}

func (b *builder) artefact(root string, artefact Artefact, purpose string) string {
	id := b.add("", Package{
		Name: artefact.Name, VersionInfo: artefact.Version, PackageFileName: artefact.Name,
		Checksums: []Checksum{sha256Checksum(artefact.SHA256)}, PrimaryPackagePurpose: purpose,
	})
	b.relate(root, "CONTAINS", id)
	return id
}

func (b *builder) kernel(root string, artefact Artefact, source KernelSource) {
	kernel := b.artefact(root, artefact, "OTHER")
	id := b.add("", Package{
		Name: source.Package, VersionInfo: source.Version, Supplier: "Organization: Debian",
		LicenseDeclared:       "GPL-2.0-only WITH Linux-syscall-note", // its COPYING
		PrimaryPackagePurpose: "SOURCE",
		ExternalRefs:          []ExternalRef{purl("pkg:deb/debian/" + source.Package + "@" + url.QueryEscape(source.Version))},
	})
	b.relate(kernel, "GENERATED_FROM", id)
}

func (b *builder) executable(initramfs, version, library string, executable Executable) {
	id := b.add("", Package{
		Name: executable.Path, VersionInfo: version, PackageFileName: path.Base(executable.Path),
		Checksums: []Checksum{sha256Checksum(executable.SHA256)}, PrimaryPackagePurpose: "APPLICATION",
	})
	b.relate(initramfs, "CONTAINS", id)
	b.relate(id, "STATIC_LINK", library)
	for _, module := range executable.Modules {
		b.relate(id, "STATIC_LINK", b.module(module))
	}
}

func (b *builder) module(module Module) string {
	checksum, err := moduleChecksum(module)
	if err != nil {
		b.fail(err)
	}
	return b.add("-"+module.Version, Package{
		Name: module.Path, VersionInfo: module.Version, Checksums: []Checksum{checksum},
		Comment:               "the checksum is the module's hash in go.sum (h1, over its files), in hexadecimal",
		PrimaryPackagePurpose: "LIBRARY",
		ExternalRefs:          []ExternalRef{purl("pkg:golang/" + strings.ToLower(module.Path) + "@" + url.QueryEscape(module.Version))},
	})
}

// standardLibrary is of the Go release, whose name is go1.26.8.
func standardLibrary(release string) Package {
	version := strings.TrimPrefix(release, "go")
	return Package{
		Name: "stdlib", VersionInfo: version, Supplier: "Organization: The Go Authors",
		LicenseDeclared: "BSD-3-Clause", PrimaryPackagePurpose: "LIBRARY",
		ExternalRefs: []ExternalRef{purl("pkg:golang/stdlib@" + url.QueryEscape(version))},
	}
}

func purl(locator string) ExternalRef {
	return ExternalRef{Category: "PACKAGE-MANAGER", Type: "purl", Locator: locator}
}

func sha256Checksum(value string) Checksum { return Checksum{Algorithm: "SHA256", Value: value} }

// moduleChecksum turns h1:BASE64 into hexadecimal.
func moduleChecksum(module Module) (Checksum, error) {
	encoded, ok := strings.CutPrefix(module.Sum, "h1:")
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(sum) != sha256.Size {
		return Checksum{}, fmt.Errorf("module %s %s: hash %q is not h1 of go.sum", module.Path, module.Version, module.Sum)
	}
	return sha256Checksum(hex.EncodeToString(sum)), nil
}

var notInIdentifier = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// identifier is clause 7.2: letters, digits, dots and hyphens.
func identifier(name string) string {
	return "SPDXRef-" + strings.Trim(notInIdentifier.ReplaceAllString(name, "-"), "-")
}
