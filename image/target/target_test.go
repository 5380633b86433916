package target

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryTargetNamesItsOldestProcessor(t *testing.T) {
	for arch, want := range map[string]string{"amd64": "GOAMD64=v1", "arm64": "GOARM64=v8.0"} {
		found, err := ByArch(arch)
		if err != nil {
			t.Fatal(err)
		}
		for _, variable := range []string{want, "GOARCH=" + arch, "GOOS=linux", "CGO_ENABLED=0", "GOFLAGS="} {
			if !slices.Contains(found.Environment(), variable) {
				t.Errorf("%s: no %s in %q", arch, variable, found.Environment())
			}
		}
	}
}

func TestByArchNamesTheChoice(t *testing.T) {
	_, err := ByArch("x86_64")
	if err == nil || !strings.Contains(err.Error(), `"x86_64"`) || !strings.Contains(err.Error(), "amd64, arm64") {
		t.Errorf("error does not say what was asked and what there is: %v", err)
	}
}
