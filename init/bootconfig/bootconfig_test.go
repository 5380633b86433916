package bootconfig

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// steps renders steps without what differs from run to run.
func steps(all []Step) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s: %s", s.Name(), s.Outcome)
		if s.Detail != "" {
			b.WriteString(": " + s.Detail)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func wantSteps(t *testing.T, got []Step, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), steps(got)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestAcquireOnBareMachine(t *testing.T) {
	m := newMachine(t)
	result, err := m.acquire()
	if !errors.Is(err, ErrNone) {
		t.Errorf("error is %v, want ErrNone", err)
	}
	wantSteps(t, result.Steps, `
kernel command line: absent: dipper.config= is not given
state volume: absent: no volume is labelled DIPPER-STATE
SMBIOS: absent: the firmware has no SMBIOS table
fw_cfg: opt/dipper/config: absent: no such file
volume: absent: no volume is labelled DIPPER or cidata
initrd: /etc/dipper/dipper.yaml: absent: no such file
DHCP lease: absent: the machine has no network interface
`)
	if m.network.asked != 0 {
		t.Errorf("the network was asked %d times, want 0: there is no link", m.network.asked)
	}
}

// TestPrecedence takes one source after the other away from a machine that has
// all of them.
func TestPrecedence(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "from "+r.URL.Path)
	}))
	defer server.Close()
	m := newMachine(t)
	m.link("eth0", "52:54:00:00:00:01")
	m.commandLine("dipper.config=" + server.URL + "/cmdline")
	m.volume("vda", "CIDATA", map[string]string{"user-data": "#", VolumeFile: "from cidata"})
	m.volume("vdb", StateLabel, map[string]string{StateFile: "from state"})
	m.volume("vdc", VolumeLabel, map[string]string{VolumeFile: "from DIPPER"})
	m.oemStrings("other=1", "dipper.config="+base64.StdEncoding.EncodeToString([]byte("from smbios")))
	m.firmware("from fw_cfg")
	m.initrd("from initrd")
	m.network.lease = &Lease{ConfigURL: server.URL + "/lease"}
	blank := make([]byte, 4096)
	for _, test := range []struct {
		source, data string
		asked        bool // for a lease
		takeAway     func()
	}{
		{CommandLine + ": " + server.URL + "/cmdline", "from /cmdline", true, func() { m.commandLine("quiet") }},
		{"state volume: /dev/vdb (ext4, label DIPPER-STATE): config/dipper.yaml", "from state", false, func() { m.disk("vdb", blank) }},
		{"SMBIOS: OEM string dipper.config", "from smbios", false, func() { m.oemStrings() }},
		{"fw_cfg: opt/dipper/config", "from fw_cfg", false, func() { m.firmware("") }},
		{"volume: /dev/vdc (ext4, label DIPPER): dipper.yaml", "from DIPPER", false, func() { m.disk("vdc", blank) }},
		{"volume: /dev/vda (ext4, label CIDATA): dipper.yaml", "from cidata", false, func() { m.disk("vda", blank) }},
		{"initrd: /etc/dipper/dipper.yaml", "from initrd", false, func() { m.initrd(" \n") }},
		{DHCPLease + ": " + server.URL + "/lease", "from /lease", true, func() {}},
	} {
		m.network.asked = 0
		result, err := m.acquire()
		if err != nil {
			t.Fatalf("%s: %v\n%s", test.source, err, steps(result.Steps))
		}
		if result.Source != test.source || string(result.Data) != test.data {
			t.Errorf("got %q from %q, want %q from %q", result.Data, result.Source, test.data, test.source)
		}
		if asked := m.network.asked > 0; asked != test.asked {
			t.Errorf("%s: network asked: %t, want %t", test.source, asked, test.asked)
		}
		test.takeAway()
	}
}

func TestFailedSourceFallsThrough(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	m := newMachine(t)
	m.link("eth0", "52:54:00:00:00:01")
	m.network.lease = &Lease{}
	m.commandLine("dipper.config=" + server.URL + "/lb1.yaml")
	m.disk("vda", extImage(StateLabel)) // and no mount succeeds
	m.oemStrings("dipper.config=%%%")
	m.firmware("\x1f\x8b is not gzip")
	m.volume("vdb", CloudLabel, map[string]string{"user-data": "#cloud-config\n"})
	m.initrd("role: director\n")
	result, err := m.acquire()
	if err != nil {
		t.Fatal(err)
	}
	wantSteps(t, result.Steps, `
kernel command line: `+server.URL+`/lb1.yaml: failed: fetch: the server answered 404 Not Found
state volume: /dev/vda (ext4, label DIPPER-STATE): config/dipper.yaml: failed: mount /dev/vda: bad superblock
SMBIOS: OEM string dipper.config: failed: decode base64: illegal base64 data at input byte 0
fw_cfg: opt/dipper/config: failed: unpack gzip: gzip: invalid header
volume: /dev/vdb (ext4, label cidata): dipper.yaml: absent: the volume has no file dipper.yaml
initrd: /etc/dipper/dipper.yaml: found
`)
	for _, loud := range []string{`level=ERROR msg="boot config" source="kernel command line: http://`, `level=ERROR msg="boot config" source="fw_cfg`} {
		if !strings.Contains(m.log.String(), loud) {
			t.Errorf("the log lacks %s:\n%s", loud, m.log.String())
		}
	}
}

// TestNothingReadable: the error says which boot configs are in the way.
func TestNothingReadable(t *testing.T) {
	m := newMachine(t)
	m.oemStrings("dipper.config=%%%")
	m.disk("vda", extImage(VolumeLabel))
	_, err := m.acquire()
	want := `no boot config
SMBIOS: OEM string dipper.config: decode base64: illegal base64 data at input byte 0
volume: /dev/vda (ext4, label DIPPER): dipper.yaml: mount /dev/vda: bad superblock`
	if !errors.Is(err, ErrNone) || errorText(err) != want {
		t.Errorf("error is\n%v\nwant\n%s", err, want)
	}
}

func TestNoneStops(t *testing.T) {
	m := newMachine(t)
	m.commandLine("quiet dipper.config=none")
	m.initrd("role: director\n")
	result, err := m.acquire()
	if !errors.Is(err, ErrNone) {
		t.Errorf("error is %v, want ErrNone", err)
	}
	wantSteps(t, result.Steps, `
kernel command line: dipper.config=none: stopped: maintenance was asked for
`)
}

func TestCommandLineValues(t *testing.T) {
	for value, want := range map[string]string{
		"":                 `failed: "" is neither an http, https or tftp URL, nor label:NAME, nor none`,
		"/dev/sda":         `failed: "/dev/sda" is neither an http, https or tftp URL, nor label:NAME, nor none`,
		"file:///etc/x":    `failed: "file:///etc/x" is neither an http, https or tftp URL, nor label:NAME, nor none`,
		"http:///x.yaml":   `failed: URL "http:///x.yaml" names no host`,
		"label:":           `failed: label: is without a name`,
		"http://%zz/":      `failed: not a URL: parse "http://%zz/": invalid URL escape "%zz"`,
		"http://h/${name}": `failed: unknown variable ${name}: expected ${mac}, ${uuid}, ${serial} or ${hostname}`,
		"http://h/${uuid}": `failed: ${uuid} has no value on this machine`,
		"http://h/${mac":   `failed: ${mac is not closed by }`,
	} {
		m := newMachine(t)
		m.link("eth0", "52:54:00:00:00:01")
		m.network.lease = &Lease{}
		m.commandLine("dipper.config=" + value)
		result, err := m.acquire()
		if !errors.Is(err, ErrNone) {
			t.Errorf("%q: error is %v, want ErrNone", value, err)
		}
		got := string(result.Steps[0].Outcome) + ": " + result.Steps[0].Detail
		if got != want {
			t.Errorf("%q: got  %s\nwant %s", value, got, want)
		}
	}
}

// TestNoLeaseInTime has a link and no DHCP server: the machine must not wait
// longer than it says, and asks once only.
func TestNoLeaseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.link("eth0", "52:54:00:00:00:01")
		result, err := m.acquire()
		if !errors.Is(err, ErrNone) {
			t.Errorf("error is %v, want ErrNone", err)
		}
		last := result.Steps[len(result.Steps)-1]
		if last.Outcome != Absent || last.Detail != "no DHCP server answered within 30s" || last.Took != leasePatience {
			t.Errorf("last step is %s", last)
		}
	})
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.link("eth0", "52:54:00:00:00:01")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		result, err := Acquire(ctx, m.machine())
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNone) {
			t.Errorf("error is %v, want the context's", err)
		}
		if len(result.Steps) != 7 {
			t.Errorf("%d steps, want 7:\n%s", len(result.Steps), steps(result.Steps))
		}
	})
}
