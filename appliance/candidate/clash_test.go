package candidate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestClashes: what both changed is told with both values, and nothing else is.
// Onto keeps mine, or fails to bring back what cannot stand alone.
func TestClashes(t *testing.T) {
	base := `
set role director
set services web listen 192.168.4.15:80 scheduler rr persistence timeout 5m
set services web real-servers 192.168.4.100 weight 1
set services web real-servers 192.168.4.200 weight 1
set services dns listen 192.168.4.16:53 protocol udp scheduler rr
set management ssh users ann role viewer password-hash $2y$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
`
	other := strings.Repeat("b", 53)
	for name, tt := range map[string]struct {
		mine, theirs string
		want         []string
	}{
		"nothing":           {"", "", nil},
		"mine alone":        {"set services web scheduler wrr", "", nil},
		"theirs alone":      {"", "set services web scheduler wrr", nil},
		"other places":      {"set services web scheduler wrr", "set services dns scheduler wrr", nil},
		"alike":             {"set services web scheduler wrr", "set services web scheduler wrr", nil},
		"other servers":     {"set services web real-servers 192.168.4.101", "set services web real-servers 192.168.4.102", nil},
		"comments":          {`annotate services web "mine"`, `annotate services web "theirs"`, nil},
		"a value":           {"set services web scheduler wrr", "set services web scheduler lc", []string{"services web scheduler: yours is wrr, and meanwhile it became lc"}},
		"a value in a list": {"set services web real-servers 192.168.4.100 weight 5", "set services web real-servers 192.168.4.100 weight 3", []string{"services web real-servers 192.168.4.100 weight: yours is 5, and meanwhile it became 3"}},
		"deleted here":      {"delete services web persistence timeout", "set services web persistence timeout 10m", []string{"services web persistence timeout: you deleted 5m, and meanwhile it became 10m"}},
		"deleted there":     {"set services web persistence timeout 10m", "delete services web persistence timeout", []string{"services web persistence timeout: yours is 10m, and it was deleted meanwhile"}},
		"server gone here":  {"delete services web real-servers 192.168.4.200", "set services web real-servers 192.168.4.200 weight 7", []string{"services web real-servers 192.168.4.200: you deleted it, and it changed meanwhile"}},
		"service gone":      {"set services dns scheduler wrr", "delete services dns", []string{"services dns: it was deleted meanwhile, and comes back with what you set alone"}},
		"the same new one":  {"set services ftp listen 192.168.4.17:21 scheduler rr", "set services ftp listen 192.168.4.17:21 scheduler lc", []string{"services ftp scheduler: yours is rr, and meanwhile it became lc"}},
		"a secret": {
			"set management ssh users ann password-hash $2y$10$" + other, "delete management ssh users ann password-hash",
			[]string{"management ssh users ann password-hash: yours is not shown, and it was deleted meanwhile"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Clashes(edited(t, New(), base), edited(t, New(), base+tt.mine), edited(t, New(), base+tt.theirs))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
