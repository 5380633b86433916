package bootconfig

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestPageNamesTheLimits holds docs/boot.md to the limits and places of the code.
func TestPageNamesTheLimits(t *testing.T) {
	page, err := os.ReadFile("../../docs/boot.md")
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%d s", int(d.Seconds())) }
	for _, want := range []string{
		fmt.Sprintf("have up to %d MiB unpacked", MaxSize>>20),
		"a try to fetch a URL ends after " + seconds(tryPatience),
		fmt.Sprintf("The machine tries for %d minutes", int(commandLinePatience.Minutes())),
		fmt.Sprintf("At most %d redirects are followed", maxRedirects),
		"The machine waits for it up to " + seconds(labelPatience),
		"and at most " + seconds(usbPatience) + " if one is slow",
		"waits up to " + seconds(leasePatience) + " for a lease, and then up to " + seconds(leasePatience) + " for the file",
		"`" + parameter + "=`",
		"opt/dipper/config",
		"/" + initrdFile,
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/boot.md does not say %q", want)
		}
	}
}
