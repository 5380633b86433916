package shell

import (
	"strings"
	"testing"
)

// TestForwardsNothing asks for each kind of forwarding that OpenSSH's client
// has. What is refused is said, and the session beside it goes on.
func TestForwardsNothing(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	told := append([]string{"-o", "LogLevel=INFO"}, joe.options(s)...)
	if _, errOut, status := joe.client("", "ssh", append(told, "-W", "127.0.0.1:22", "host")...); status == 0 || !strings.Contains(errOut, "administratively prohibited: this machine forwards nothing") {
		t.Errorf("-W: status %d, %s", status, errOut)
	}
	if _, errOut, status := joe.ssh(s, "", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:22", "host", "say", "no"); status == 0 || !strings.Contains(errOut, "remote port forwarding failed") {
		t.Errorf("-R: status %d, %s", status, errOut)
	}
	if out, errOut, status := joe.ssh(s, "", "-A", "-X", "host", "say", "yes"); status != 0 || out != "yes\n" {
		t.Errorf("-A -X: status %d, %q, %s", status, out, errOut)
	}
}

// TestReaderLeaves pipes what never ends into a program that reads a little of
// it. The command ends, as one of a Unix machine does.
func TestReaderLeaves(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	script := `ssh "$@" host flood | head -c 10 | wc -c; echo ${PIPESTATUS[0]}`
	out, errOut, _ := joe.client("", "bash", append([]string{"-c", script, "bash"}, joe.options(s)...)...)
	if want := "10\n1\n"; out != want { // 1 is flood's answer to a failed write
		t.Errorf("got %q, %s, want %q", out, errOut, want)
	}
}

// TestOldSCP: the protocol of scp before OpenSSH 9.0 is refused with what to do.
func TestOldSCP(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	_, errOut, status := joe.client("", "scp", append(append([]string{"-O"}, joe.options(s)...), "host:running.yaml", joe.file("got"))...)
	if status == 0 || !strings.Contains(errOut, "call scp with -s") {
		t.Errorf("status %d, %s", status, errOut)
	}
}
