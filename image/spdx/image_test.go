package spdx

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sumOf is a module hash as in go.sum, whose 32 bytes are all b.
func sumOf(b byte) string {
	return "h1:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

var (
	sys  = Module{"golang.org/x/sys", "v0.49.0", sumOf(0xaa)}
	toml = Module{"github.com/BurntSushi/toml", "v1.4.1-0.20240526193622-a339e1f7089c", sumOf(0xbb)}
)

var example = Image{
	Version:   "1.2.0-3-g82d193e",
	Commit:    "82d193e31c5fbd3fbb2d5f4ba1b6ae8a2b0d1e7f",
	Time:      time.Unix(1780000000, 0),
	Go:        "go1.26.8",
	Kernel:    Artefact{"vmlinuz", "6.12.117-dipper", strings.Repeat("1", 64)},
	Initramfs: Artefact{"initramfs.cpio.zst", "1.2.0-3-g82d193e", strings.Repeat("2", 64)},
	Source:    KernelSource{"linux-source-6.12", "6.12.117-1~deb12u1"},
	Init:      Executable{"/init", strings.Repeat("3", 64), []Module{sys, toml}},
	Busybox:   Executable{"/bbin/bb", strings.Repeat("4", 64), []Module{sys}},
	Roots:     Module{"golang.org/x/crypto/x509roots/fallback", "v0.0.0-20261030153154-30a33513ff6d", sumOf(0xcc)},
}

func described(t *testing.T, image Image) Document {
	t.Helper()
	document, err := Describe(image)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// TestStructure holds a document against what the specification demands of each
// field (https://spdx.github.io/spdx-spec/v2.3/, clauses 6, 7 and 11) and what its
// JSON schema accepts.
func TestStructure(t *testing.T) {
	document := described(t, example)
	match(t, "spdxVersion", `SPDX-2\.3`, document.SPDXVersion)
	match(t, "dataLicense", `CC0-1\.0`, document.DataLicense)
	match(t, "SPDXID", `SPDXRef-DOCUMENT`, document.SPDXID)
	match(t, "created", `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, document.CreationInfo.Created)
	for _, creator := range document.CreationInfo.Creators {
		match(t, "creator", `(Tool|Organization|Person): \S.*`, creator)
	}
	if u, err := url.Parse(document.DocumentNamespace); err != nil || !u.IsAbs() || strings.Contains(document.DocumentNamespace, "#") {
		t.Errorf("documentNamespace %q: expected an absolute URI without #", document.DocumentNamespace)
	}
	for _, p := range document.Packages {
		t.Run(p.SPDXID, func(t *testing.T) { checkPackage(t, p) })
	}
}

func match(t *testing.T, what, pattern, value string) {
	t.Helper()
	if !regexp.MustCompile("^(" + pattern + ")$").MatchString(value) {
		t.Errorf("%s %q does not match %s", what, value, pattern)
	}
}

func checkPackage(t *testing.T, p Package) {
	match(t, "SPDXID", `SPDXRef-[a-zA-Z0-9.-]+`, p.SPDXID)
	match(t, "name", `.+`, p.Name)
	match(t, "downloadLocation", `NOASSERTION|NONE|(https?|git)\S+`, p.DownloadLocation)
	match(t, "licenseConcluded", `NOASSERTION`, p.LicenseConcluded)
	match(t, "licenseDeclared", `NOASSERTION|GPL-2\.0-only WITH Linux-syscall-note|BSD-3-Clause`, p.LicenseDeclared)
	match(t, "copyrightText", `NOASSERTION`, p.CopyrightText)
	match(t, "packageFileName", `[^/]*`, p.PackageFileName)
	match(t, "supplier", `|Organization: \S.*`, p.Supplier)
	match(t, "primaryPackagePurpose", `FIRMWARE|ARCHIVE|SOURCE|LIBRARY|APPLICATION|OTHER`, p.PrimaryPackagePurpose)
	if p.FilesAnalyzed {
		t.Error("filesAnalyzed demands a verification code, which is not there")
	}
	for _, checksum := range p.Checksums {
		match(t, "algorithm", `SHA256`, checksum.Algorithm)
		match(t, "checksumValue", `[0-9a-f]{64}`, checksum.Value)
	}
	for _, ref := range p.ExternalRefs {
		match(t, "referenceCategory", `PACKAGE-MANAGER`, ref.Category)
		match(t, "referenceType", `purl`, ref.Type)
		match(t, "referenceLocator", `pkg:(golang|deb)/[a-z0-9./~-]+@[A-Za-z0-9.%~-]+`, ref.Locator)
	}
}

// TestTree reads the document back to who contains whom.
func TestTree(t *testing.T) {
	document := described(t, example)
	names := map[string]string{document.SPDXID: "DOCUMENT"}
	for _, p := range document.Packages {
		if _, ok := names[p.SPDXID]; ok {
			t.Errorf("%s is there twice", p.SPDXID)
		}
		names[p.SPDXID] = p.Name
	}
	var got strings.Builder
	got.WriteString("\n")
	for _, r := range document.Relationships {
		fmt.Fprintf(&got, "%s %s %s\n", names[r.Element], r.Type, names[r.Related])
	}
	const want = `
DOCUMENT DESCRIBES dipper
dipper CONTAINS vmlinuz
vmlinuz GENERATED_FROM linux-source-6.12
dipper CONTAINS initramfs.cpio.zst
initramfs.cpio.zst CONTAINS /init
/init STATIC_LINK stdlib
/init STATIC_LINK golang.org/x/sys
/init STATIC_LINK github.com/BurntSushi/toml
initramfs.cpio.zst CONTAINS /bbin/bb
/bbin/bb STATIC_LINK stdlib
/bbin/bb STATIC_LINK golang.org/x/sys
initramfs.cpio.zst CONTAINS golang.org/x/crypto/x509roots/fallback
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestModule(t *testing.T) {
	document := described(t, example)
	i := slices.IndexFunc(document.Packages, func(p Package) bool { return p.Name == toml.Path })
	if i < 0 {
		t.Fatal("no package for the module")
	}
	got := document.Packages[i]
	if want := []Checksum{{"SHA256", strings.Repeat("bb", 32)}}; !cmp.Equal(got.Checksums, want) {
		t.Errorf("checksums %v, want %v", got.Checksums, want)
	}
	// The purl type golang wants lower case.
	want := "pkg:golang/github.com/burntsushi/toml@v1.4.1-0.20240526193622-a339e1f7089c"
	if got.ExternalRefs[0].Locator != want {
		t.Errorf("purl %s, want %s", got.ExternalRefs[0].Locator, want)
	}
}

func TestNamespaceIsOfTheContents(t *testing.T) {
	first, second := described(t, example), described(t, example)
	if first.DocumentNamespace != second.DocumentNamespace {
		t.Errorf("one image, two namespaces: %s and %s", first.DocumentNamespace, second.DocumentNamespace)
	}
	other := example
	other.Kernel.SHA256 = strings.Repeat("9", 64)
	if changed := described(t, other); changed.DocumentNamespace == first.DocumentNamespace {
		t.Error("two images, one namespace")
	}
}

func TestEncodeKeepsTheFieldNames(t *testing.T) {
	text, err := Encode(example)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SPDXID", "creationInfo", "dataLicense", "documentNamespace", "name", "packages",
		"relationships", "spdxVersion"} {
		if _, ok := document[name]; !ok {
			t.Errorf("no field %s", name)
		}
	}
	if created := document["creationInfo"].(map[string]any)["created"]; created != "2026-05-28T20:26:40Z" {
		t.Errorf("created %v, want the time of the image in UTC", created)
	}
}

func TestDescribeRefuses(t *testing.T) {
	for _, test := range []struct {
		name    string
		modules []Module
		want    string
	}{
		{"no hash", []Module{{"example.org/m", "v1.0.0", ""}}, `module example.org/m v1.0.0: hash "" is not h1`},
		{"hash of another kind", []Module{{"example.org/m", "v1.0.0", "h2:AAAA"}}, `hash "h2:AAAA" is not h1`},
		{"cut hash", []Module{{"example.org/m", "v1.0.0", "h1:AAAA"}}, `hash "h1:AAAA" is not h1`},
		{
			"same identifier",
			[]Module{{"example.org/a-b", "v1.0.0", sumOf(1)}, {"example.org/a/b", "v1.0.0", sumOf(1)}},
			"example.org/a-b and example.org/a/b have the same identifier",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := example
			image.Init.Modules = test.modules
			_, err := Encode(image)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant …%s…", err, test.want)
			}
		})
	}
}

// TestCommitIsNamed says also of a source that no git knows that there is none.
func TestCommitIsNamed(t *testing.T) {
	unknown := example
	unknown.Commit = ""
	for _, test := range []struct {
		image Image
		want  string
	}{
		{example, "source: git commit " + example.Commit},
		{unknown, "source: git commit none"},
	} {
		if got := described(t, test.image).Packages[0].Comment; got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
