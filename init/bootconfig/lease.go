package bootconfig

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How long the network is given, from the first DHCP message to the last byte.
const (
	// commandLinePatience is for a URL that somebody wrote down for this
	// machine: half of it for the lease, the rest for the server to come up.
	commandLinePatience = 2 * time.Minute
	// leasePatience is for the lease and, again, for the URL in it.
	leasePatience = 30 * time.Second
)

// errNoLinks says that there is no network to wait for.
var errNoLinks = errors.New("the machine has no network interface")

// leaseAnswer is what came of asking for a lease.
type leaseAnswer struct {
	lease Lease
	err   error
}

// fromLease is source 6: the network says where the boot config is.
func (a *acquisition) fromLease(ctx context.Context) (finding, error) {
	lease, err := a.connect(ctx, leasePatience)
	if err != nil {
		return finding{}, absentError{err.Error()}
	}
	if lease.ConfigURL == "" {
		return finding{}, absentError{"the lease names no boot config"}
	}
	return a.fetch(ctx, lease.ConfigURL, leasePatience)
}

// connect asks the network for a lease, once in the life of an acquisition.
func (a *acquisition) connect(ctx context.Context, patience time.Duration) (Lease, error) {
	if a.lease == nil {
		lease, err := a.askForLease(ctx, patience)
		a.lease = &leaseAnswer{lease, err}
	}
	return a.lease.lease, a.lease.err
}

func (a *acquisition) askForLease(ctx context.Context, patience time.Duration) (Lease, error) {
	if a.Network == nil || len(a.links()) == 0 {
		return Lease{}, errNoLinks
	}
	a.Log.InfoContext(ctx, "boot config: ask for a DHCP lease", "at most", patience)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lease, err := a.Network.Connect(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return Lease{}, fmt.Errorf("no DHCP server answered within %s", patience)
	}
	if err != nil {
		return Lease{}, fmt.Errorf("get a lease: %w", err)
	}
	return lease, nil
}

// links lists the MAC addresses of the machine's network interfaces by name:
// of those that are hardware, as a fresh kernel has tunnel devices as well.
func (a *acquisition) links() []string {
	devices, _ := filepath.Glob(filepath.Join(a.Root, "sys/class/net/*/device")) // the pattern is well-formed
	var macs []string
	for _, device := range devices {
		if mac := a.line(filepath.Join("sys/class/net", filepath.Base(filepath.Dir(device)), "address")); mac != "" {
			macs = append(macs, mac)
		}
	}
	return macs
}

// line reads a file of one line below the root; "" if there is none.
func (a *acquisition) line(name string) string {
	text, err := os.ReadFile(filepath.Join(a.Root, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// fetch gets the boot config behind a URL that may have variables. It tries also
// without a lease: IPv6 routers give addresses without one.
func (a *acquisition) fetch(ctx context.Context, text string, patience time.Duration) (finding, error) {
	if _, err := parseURL(text); err != nil { // before any waiting
		return finding{}, err
	}
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lease, leaseErr := a.connect(deadline, patience/2)
	if errors.Is(leaseErr, errNoLinks) {
		return finding{place: redacted(text)}, leaseErr
	}
	found, err := a.fetchExpanded(deadline, text, lease)
	if err != nil && leaseErr != nil {
		err = fmt.Errorf("%w (%w)", err, leaseErr)
	}
	return found, err
}

func (a *acquisition) fetchExpanded(ctx context.Context, text string, lease Lease) (finding, error) {
	found := finding{place: redacted(text)}
	expanded, err := expand(text, a.variables(lease))
	if err != nil {
		return found, err
	}
	u, err := parseURL(expanded)
	if err != nil {
		return found, err
	}
	found.place = u.Redacted()
	found.data, err = a.fetcher.fetch(ctx, u)
	return found, err
}

func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// variables are what a URL may ask for by ${name}: one line for a whole fleet.
func (a *acquisition) variables(lease Lease) map[string]string {
	mac := lease.MAC
	if links := a.links(); mac == "" && len(links) > 0 {
		mac = links[0]
	}
	return map[string]string{
		"mac":      strings.ToLower(mac),
		"uuid":     strings.ToLower(a.line("sys/class/dmi/id/product_uuid")),
		"serial":   a.line("sys/class/dmi/id/product_serial"),
		"hostname": lease.Hostname,
	}
}

// expand replaces the variables of a URL. One that is unknown or has no value is
// an error: a URL with a hole in it names something else.
func expand(text string, variables map[string]string) (string, error) {
	var out strings.Builder
	for {
		before, rest, more := strings.Cut(text, "${")
		out.WriteString(before)
		if !more {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		value, known := variables[name]
		switch {
		case !closed:
			return "", fmt.Errorf("${%s is not closed by }", rest)
		case !known:
			return "", fmt.Errorf("unknown variable ${%s}: expected ${mac}, ${uuid}, ${serial} or ${hostname}", name)
		case value == "":
			return "", fmt.Errorf("${%s} has no value on this machine", name)
		}
		out.WriteString(escape(value))
		text = after
	}
}

// escape makes a value safe in a URL's path and query. Colons stay, so that
// ${mac} names the same file for TFTP, which knows no escapes.
func escape(value string) string {
	escaped := strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
	return strings.ReplaceAll(escaped, "%3A", ":")
}
