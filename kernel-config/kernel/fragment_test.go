package kernel

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// fragmentFS has every fragment empty, but for the files given as name, text.
func fragmentFS(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{"amd64.config": {}}
	for _, name := range purposes {
		fsys[name+".config"] = &fstest.MapFile{}
	}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

func TestReadFragments(t *testing.T) {
	options, err := ReadFragments(fragmentFS(
		"base.config", "# why\nCONFIG_SMP=y\n\nCONFIG_LOCALVERSION=\"-dipper\"\n",
		"lvs.config", "# CONFIG_IP_VS_DEBUG is not set\nCONFIG_IP_VS_TAB_BITS=18\n",
		"amd64.config", "CONFIG_MAGIC=0xb0\nCONFIG_PANIC_TIMEOUT=-1\n",
	), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	want := []Option{
		{"CONFIG_SMP", "y", "base.config", 2},
		{"CONFIG_LOCALVERSION", `"-dipper"`, "base.config", 4},
		{"CONFIG_IP_VS_DEBUG", "n", "lvs.config", 1},
		{"CONFIG_IP_VS_TAB_BITS", "18", "lvs.config", 2},
		{"CONFIG_MAGIC", "0xb0", "amd64.config", 1},
		{"CONFIG_PANIC_TIMEOUT", "-1", "amd64.config", 2},
	}
	if diff := cmp.Diff(want, options); diff != "" {
		t.Error(diff)
	}
	text := "CONFIG_SMP=y\nCONFIG_LOCALVERSION=\"-dipper\"\n# CONFIG_IP_VS_DEBUG is not set\n" +
		"CONFIG_IP_VS_TAB_BITS=18\nCONFIG_MAGIC=0xb0\nCONFIG_PANIC_TIMEOUT=-1\n"
	if diff := cmp.Diff(text, string(merged(options))); diff != "" {
		t.Error(diff)
	}
}

func TestReadFragmentsRejects(t *testing.T) {
	tests := []struct {
		name  string
		fsys  fstest.MapFS
		wants []string
	}{
		{"a module", fragmentFS("lvs.config", "CONFIG_IP_VS=m\n"), []string{`lvs.config:1: "CONFIG_IP_VS=m"`}},
		{"n as a value", fragmentFS("lvs.config", "\nCONFIG_IP_VS=n\n"), []string{`lvs.config:2: "CONFIG_IP_VS=n"`}},
		{"no prefix", fragmentFS("base.config", "SMP=y\n"), []string{`base.config:1: "SMP=y"`}},
		{"trailing comment", fragmentFS("base.config", "CONFIG_SMP=y # fast\n"), []string{"base.config:1:"}},
		{"open quote", fragmentFS("base.config", "CONFIG_NAME=\"x\n"), []string{"base.config:1:"}},
		{"all bad lines", fragmentFS("base.config", "a\nb\n"), []string{"base.config:1:", "base.config:2:"}},
		{"twice in a file", fragmentFS("base.config", "CONFIG_SMP=y\nCONFIG_SMP=y\n"),
			[]string{"base.config:2: CONFIG_SMP=y: already set at base.config:1"}},
		{"twice in two files", fragmentFS("base.config", "CONFIG_SMP=y\n", "amd64.config", "# CONFIG_SMP is not set\n"),
			[]string{"amd64.config:1: # CONFIG_SMP is not set: already set at base.config:1"}},
		{"no file", fstest.MapFS{}, []string{"base.config"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadFragments(test.fsys, "amd64")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestVerify(t *testing.T) {
	got, err := ParseConfig([]byte("# Linux configuration\nCONFIG_SMP=y\n# CONFIG_MODULES is not set\nCONFIG_HZ=250\nCONFIG_EMPTY=\"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify([]Option{
		{"CONFIG_SMP", "y", "base.config", 1},
		{"CONFIG_MODULES", "n", "base.config", 2},
		{"CONFIG_UNKNOWN", "n", "base.config", 3},
		{"CONFIG_EMPTY", `""`, "base.config", 4},
	}, got); err != nil {
		t.Error(err)
	}
	err = Verify([]Option{
		{"CONFIG_HZ", "1000", "base.config", 7},
		{"CONFIG_IP_VS", "y", "lvs.config", 3},
		{"CONFIG_SMP", "n", "base.config", 9},
	}, got)
	for _, want := range []string{
		"base.config:7: CONFIG_HZ: wanted 1000, got 250",
		"lvs.config:3: CONFIG_IP_VS: wanted y, got n",
		"base.config:9: CONFIG_SMP: wanted n, got y",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{"CONFIG_A=y", "# CONFIG_A is not set", "# text", "", "CONFIG_A=m", `CONFIG_A="b"`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		option, ok, err := parseLine(line)
		if ok && err != nil {
			t.Fatalf("%q: both an option and an error", line)
		}
		if ok && option.String() != line {
			t.Fatalf("%q reads as %q", line, option)
		}
	})
}
