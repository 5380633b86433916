package bootconfig

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestExpand(t *testing.T) {
	variables := map[string]string{"mac": "52:54:00:00:00:01", "serial": "AB 12/3&x", "hostname": ""}
	for _, test := range []struct{ text, want, wantErr string }{
		{"http://h/lb1.yaml", "http://h/lb1.yaml", ""},
		{"http://h/${mac}.yaml", "http://h/52:54:00:00:00:01.yaml", ""},
		{"http://h/?m=${mac}&s=${serial}", "http://h/?m=52:54:00:00:00:01&s=AB%2012%2F3%26x", ""},
		{"http://h/$mac/{mac}", "http://h/$mac/{mac}", ""},
		{"http://h/${hostname}", "", "${hostname} has no value on this machine"},
		{"http://h/${Mac}", "", "unknown variable ${Mac}: expected ${mac}, ${uuid}, ${serial} or ${hostname}"},
		{"http://h/${}", "", "unknown variable ${}: expected ${mac}, ${uuid}, ${serial} or ${hostname}"},
		{"http://h/${mac", "", "${mac is not closed by }"},
	} {
		got, err := expand(test.text, variables)
		if got != test.want || errorText(err) != test.wantErr {
			t.Errorf("%q: got %q and %q, want %q and %q", test.text, got, errorText(err), test.want, test.wantErr)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("http://h/${mac}?x=${serial}", "AB 12")
	f.Add("${${}}", "${serial}")
	f.Fuzz(func(t *testing.T, text, serial string) {
		got, err := expand(text, map[string]string{"mac": "52:54:00:00:00:01", "serial": serial})
		if err == nil && strings.Contains(got, "${") {
			t.Errorf("%q becomes %q: a variable is left", text, got)
		}
	})
}

// TestVariables has all four on one line, as a PXE server's configuration would.
func TestVariables(t *testing.T) {
	asked := make(chan string, 1)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		fmt.Fprint(w, "role: director\n")
	})
	m := online(t, base+"/${mac}/${uuid}/${serial}?${hostname}")
	m.file("sys/class/dmi/id/product_uuid", "2F7A1B3C-0000-4000-8000-0123456789AB\n")
	m.file("sys/class/dmi/id/product_serial", "AB 12\n")
	if _, err := m.acquire(); err != nil {
		t.Fatal(err)
	}
	want := "/52:54:00:00:00:02/2f7a1b3c-0000-4000-8000-0123456789ab/AB%2012?lb1"
	if got := <-asked; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

// TestURLWithoutLease is a machine that only has addresses from routers: the
// fetch is tried all the same, with the MAC of its first link.
func TestURLWithoutLease(t *testing.T) {
	asked := make(chan string, 1)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		fmt.Fprint(w, "role: director\n")
	})
	m := newMachine(t)
	m.link("eth1", "52:54:00:00:00:02")
	m.link("eth0", "52:54:00:00:00:01")
	m.file("sys/class/net/tunl0/address", "0.0.0.0\n")
	a := newAcquisition(m.machine())
	a.lease = &leaseAnswer{err: errNoAnswer}
	found, err := a.fetch(t.Context(), base+"/${mac}", commandLinePatience)
	if err != nil || string(found.data) != "role: director\n" {
		t.Fatalf("got %q, %v", found.data, err)
	}
	if got := <-asked; got != "/52:54:00:00:00:01" {
		t.Errorf("asked for %s", got)
	}
}

var errNoAnswer = fmt.Errorf("no DHCP server answered")

// TestBothFaultsAreTold: without a lease the fetch's own error is only half of
// the truth.
func TestBothFaultsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.link("eth0", "52:54:00:00:00:01")
		m.commandLine("dipper.config=http://127.0.0.1:1/lb1.yaml")
		started := time.Now()
		result, _ := m.acquire()
		detail := result.Steps[0].Detail
		for _, part := range []string{"gave up after", "127.0.0.1:1", "(no DHCP server answered within 1m0s)"} {
			if !strings.Contains(detail, part) {
				t.Errorf("%q does not tell of %q", detail, part)
			}
		}
		if took := time.Since(started); took > commandLinePatience {
			t.Errorf("took %s, want at most %s: a lease is asked for once", took, commandLinePatience)
		}
	})
}
