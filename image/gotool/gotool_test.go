package gotool

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listed is what go list -deps -json=ImportPath,Module prints.
const listed = `{"ImportPath": "fmt"}
{"ImportPath": "golang.org/x/sys/unix", "Module": {"Path": "golang.org/x/sys", "Version": "v0.49.0", "Sum": "h1:x"}}
{"ImportPath": "golang.org/x/sys/cpu", "Module": {"Path": "golang.org/x/sys", "Version": "v0.49.0", "Sum": "h1:x"}}
{"ImportPath": "github.com/u-root/u-root/cmds/core/ls", "Module": {"Path": "github.com/u-root/u-root", "Version": "v0.16.0", "Sum": "h1:u"}}
{"ImportPath": "dipper/init", "Module": {"Path": "dipper", "Main": true}}
`

func TestParseModules(t *testing.T) {
	got, err := parseModules([]byte(listed))
	if err != nil {
		t.Fatal(err)
	}
	want := []Module{{"github.com/u-root/u-root", "v0.16.0", "h1:u"}, {"golang.org/x/sys", "v0.49.0", "h1:x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseModulesRefuses(t *testing.T) {
	for name, test := range map[string]struct{ output, want string }{
		"replaced": {
			`{"ImportPath": "example.org/m", "Module": {"Path": "example.org/m", "Version": "v1.0.0", "Replace": {"Path": "../m"}}}`,
			"module example.org/m is replaced by ../m",
		},
		"cut off": {`{"ImportPath": "example`, "unexpected EOF"},
	} {
		_, err := parseModules([]byte(test.output))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want …%s…", name, err, test.want)
		}
	}
}

func TestRunSaysWhatGoSays(t *testing.T) {
	tool := Tool{Root: t.TempDir()}
	_, err := tool.Run(t.Context(), tool.Root, nil, "build", ".")
	if err == nil || !strings.Contains(err.Error(), "go build .: exit status 1") || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("got %v", err)
	}
}
