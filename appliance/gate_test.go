package appliance

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/events"
	"dipper/appliance/network"
	"dipper/appliance/store"
)

// disk is a state volume that can be full, and that can be made.
type disk struct {
	*store.Memory
	full bool
	slow chan struct{} // closed when making it may come to its end; nil: at once

	writing func() // called before every write, if given
}

func (d *disk) WriteFile(name string, data ...[]byte) error {
	if d.full {
		return syscall.ENOSPC
	}
	if d.writing != nil {
		d.writing()
	}
	return d.Memory.WriteFile(name, data...)
}

func (d *disk) Open(context.Context) (store.FileSystem, string, error) { return d, "/dev/sda", nil }

func (d *disk) Format(context.Context, string, bool) (store.FileSystem, error) {
	if d.slow != nil {
		<-d.slow
	}
	return d, nil
}

func (d *disk) Space() (size, free uint64, err error) { return 64 << 20, 0, nil }
func (d *disk) Notes() []string                       { return nil }

// blank is a disk that is no state volume yet.
type blank struct{ *disk }

func (blank) Open(context.Context) (store.FileSystem, string, error) { return nil, "", nil }

// bootsWith runs a director with a state volume in a bubble.
func bootsWith(t *testing.T, volume StateVolume, yaml string, test func(t *testing.T, m *machine, b *backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.options.State = volume
		m.boots(yaml)
		b, kill := m.serves(t)
		defer kill()
		test(t, m, b)
	})
}

func fingerprintOf(t *testing.T, b *backend) (print string, ephemeral bool) {
	t.Helper()
	key, err := b.HostKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key.PEM)
	if err != nil {
		t.Fatal(err)
	}
	if shown := b.Status(t.Context(), -1).HostKey; shown != ssh.FingerprintSHA256(signer.PublicKey()) {
		t.Errorf("the status shows %q", shown)
	}
	return ssh.FingerprintSHA256(signer.PublicKey()), key.Ephemeral
}

// TestHostKey has the key outlive the control plane where there is a volume,
// and be an ephemeral one where the volume cannot be used: nobody is kept out.
func TestHostKey(t *testing.T) {
	t.Run("on the volume", func(t *testing.T) {
		volume := &disk{Memory: store.NewMemory()}
		var first string
		bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
			var ephemeral bool
			if first, ephemeral = fingerprintOf(t, b); ephemeral {
				t.Error("an ephemeral key although there is a volume")
			}
		})
		bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
			if again, _ := fingerprintOf(t, b); again != first {
				t.Error("another key after a reboot")
			}
		})
		volume.Memory = store.NewMemory()
		bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
			if other, _ := fingerprintOf(t, b); other == first {
				t.Error("two machines have one key")
			}
		})
	})
	t.Run("no volume", func(t *testing.T) {
		bubble(t, pair, func(t *testing.T, _ *machine, b *backend) {
			first, ephemeral := fingerprintOf(t, b)
			if again, _ := fingerprintOf(t, b); !ephemeral || first != again {
				t.Errorf("ephemeral: %v, %s, then %s", ephemeral, first, again)
			}
		})
	})
	for name, spoil := range map[string]func(*disk){
		"full": func(d *disk) { d.full = true },
		"broken": func(d *disk) {
			if err := d.Memory.WriteFile("ssh/host_key", []byte("-----BEGIN OPENSSH")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			volume := &disk{Memory: store.NewMemory()}
			bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
				spoil(volume)
				first, ephemeral := fingerprintOf(t, b)
				if again, _ := fingerprintOf(t, b); !ephemeral || first != again {
					t.Errorf("ephemeral: %v, %s, then %s", ephemeral, first, again)
				}
				told := eventsOf(t, b, events.Session)
				if len(told) != 1 || !strings.Contains(told[0], "could not be kept") || strings.Contains(told[0], "BEGIN") {
					t.Errorf("told: %q", told)
				}
			})
		})
	}
}

func eventsOf(t *testing.T, b *backend, kind string) (texts []string) {
	t.Helper()
	for e, err := range b.Events(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == kind {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// TestHostKeyChanges tells the shell when it has to ask for the key again: it
// would go on with the one before until it is started anew.
func TestHostKeyChanges(t *testing.T) {
	made, err := makeHostKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(made.pem)
	if err != nil {
		t.Fatal(err)
	}
	configured := pair + "management:\n  ssh:\n    host-key: |\n      " + strings.ReplaceAll(strings.TrimSpace(string(made.pem)), "\n", "\n      ") + "\n"
	volume := blank{&disk{Memory: store.NewMemory()}}
	bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
		// next waits for rules that are newer than the last ones.
		last := 0
		next := func(what string) api.Access {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			a, err := b.Access(ctx, last)
			if err != nil || a.Generation <= last {
				t.Errorf("%s: nobody is told (%v)", what, err)
			}
			if last = a.Generation; strings.Contains(a.HostKey, "PRIVATE") {
				t.Errorf("%s: the key itself is told", what)
			}
			return a
		}
		next("start")
		kept, _ := fingerprintOf(t, b)
		apply := func(yaml string) {
			t.Helper()
			if _, err := b.Apply(t.Context(), []byte(yaml), false); err != nil {
				t.Fatal(err)
			}
		}
		apply(configured)
		next("a key in the configuration")
		if got, ephemeral := fingerprintOf(t, b); got != ssh.FingerprintSHA256(signer.PublicKey()) || ephemeral {
			t.Errorf("got %s, ephemeral %v: want the configured one", got, ephemeral)
		}
		apply(pair)
		next("none any more")
		if got, _ := fingerprintOf(t, b); got != kept {
			t.Error("want the one before again")
		}
		if err := b.FormatState(t.Context(), "/dev/sda", false); err != nil {
			t.Fatal(err)
		}
		next("a state volume")
		if got, ephemeral := fingerprintOf(t, b); got != kept || ephemeral {
			t.Errorf("the key did not move to the volume: ephemeral %v, the same %v", ephemeral, got == kept)
		}
	})
}

// TestCommitWhileAVolumeIsMade loses nothing: what is committed while the disk
// is made goes along, whichever comes first.
func TestCommitWhileAVolumeIsMade(t *testing.T) {
	volume := blank{&disk{Memory: store.NewMemory()}}
	bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
		volume.slow = make(chan struct{}) // of this bubble
		anna := as(t, "anna", "s1")
		done := make(chan error, 1)
		go func() { done <- b.FormatState(anna, "/dev/sda", false) }()
		synctest.Wait()
		if err := b.FormatState(anna, "/dev/sda", false); err == nil || !strings.Contains(err.Error(), "being made already") {
			t.Errorf("a second one at the same time: %v", err)
		}
		c := candidateOf(t, anna, b, heavier)
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{Comment: "meanwhile"}); err != nil {
			t.Fatal(err)
		}
		volume.writing = func() {
			if b.shelf.writing.TryLock() {
				b.shelf.writing.Unlock()
				t.Error("while revisions move, somebody may add one that stays behind")
			}
		}
		close(volume.slow)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		made, err := store.Open(volume.disk, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(made.Revisions(), func(r store.Revision) bool { return r.Comment == "meanwhile" }) {
			t.Errorf("on the volume: %+v", made.Revisions())
		}
	})
}

// TestAppliedIsToldOf: who puts a configuration past all candidates is known.
func TestAppliedIsToldOf(t *testing.T) {
	bubble(t, pair, func(t *testing.T, _ *machine, b *backend) {
		anna := as(t, "anna", "s1")
		if _, err := b.Apply(anna, []byte(strings.Replace(pair, "weight: 2", "weight: 5", 1)), true); err != nil {
			t.Fatal(err)
		}
		if told := eventsOf(t, b, events.Commit); len(told) != 0 {
			t.Errorf("nothing was done, but %q", told)
		}
		if _, err := b.Apply(anna, []byte(strings.Replace(pair, "weight: 2", "weight: 5", 1)), false); err != nil {
			t.Fatal(err)
		}
		if told := eventsOf(t, b, events.Commit); len(told) != 1 || !strings.Contains(told[0], "put into force by anna") {
			t.Errorf("told: %q", told)
		}
	})
}

// TestListen resolves what the configuration names to the machine's own
// addresses: to no VIP, and to no address that it does not have.
func TestListen(t *testing.T) {
	address := func(prefix, link string, vip bool) network.Address {
		return network.Address{Prefix: netip.MustParsePrefix(prefix), Link: link, VIP: vip}
	}
	state := network.State{Addresses: []network.Address{
		address("127.0.0.1/8", "lo", false), address("192.168.4.5/24", "eth0", false), address("192.168.4.15/32", "eth0", true),
		address("10.1.0.5/16", "eth1", false), address("2001:db8::5/64", "eth1", false), address("10.1.0.15/32", "eth1", true),
	}}
	for wanted, want := range map[string]string{
		"":                                  "192.168.4.5:22 10.1.0.5:22 [2001:db8::5]:22",
		"192.168.4.5":                       "192.168.4.5:22",
		"192.168.4.5:2222":                  "192.168.4.5:2222",
		"192.168.4.0/24":                    "192.168.4.5:22",
		"0.0.0.0/0":                         "127.0.0.1:22 192.168.4.5:22 10.1.0.5:22",
		"10.0.0.0/8:2200 10.1.0.5:2200":     "10.1.0.5:2200",
		"eth1":                              "10.1.0.5:22 [2001:db8::5]:22",
		"eth1:830 192.168.4.5":              "10.1.0.5:830 [2001:db8::5]:830 192.168.4.5:22",
		"192.168.4.15":                      "",
		"192.168.4.99 eth9 2001:db8:1::/64": "",
		"lo":                                "127.0.0.1:22",
		"192.168.4.15/32 10.1.0.15 eth1:22": "10.1.0.5:22 [2001:db8::5]:22",
	} {
		var cfg config.Config
		for word := range strings.FieldsSeq(wanted) {
			cfg.Management.SSH.Listen = append(cfg.Management.SSH.Listen, listenWord(t, word))
		}
		g := &gate{changed: make(chan struct{})}
		g.admit(&cfg, state)
		if got := strings.Join(g.access.Listen, " "); got != want {
			t.Errorf("%q: listens on %q, want %q", wanted, got, want)
		}
	}
}

// listenWord is an address, a network or an interface, with :port behind it if
// it is not 22.
func listenWord(t *testing.T, word string) config.SSHListen {
	t.Helper()
	l := config.SSHListen{Port: 22}
	if host, port, found := strings.Cut(word, ":"); found && !strings.Contains(port, ":") {
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		word, l.Port = host, uint16(n)
	}
	if prefix, err := netip.ParsePrefix(word); err == nil {
		l.Prefix = prefix
	} else if a, err := netip.ParseAddr(word); err == nil {
		l.Prefix = netip.PrefixFrom(a, a.BitLen())
	} else {
		l.Interface = word
	}
	return l
}

// TestListenFollowsTheConfiguration changes it while the machine runs.
func TestListenFollowsTheConfiguration(t *testing.T) {
	bubble(t, pair, func(t *testing.T, _ *machine, b *backend) {
		for _, step := range []struct{ management, want string }{
			{"", "192.168.4.5:22"},
			{"management: {ssh: {listen: [192.168.4.5:2222]}}\n", "192.168.4.5:2222"},
			{"management: {ssh: {listen: [192.168.4.0/24]}}\n", "192.168.4.5:22"},
		} {
			before, err := b.Access(t.Context(), -1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Apply(t.Context(), []byte(pair+step.management), false); err != nil {
				t.Fatal(err)
			}
			a, err := b.Access(t.Context(), -1)
			if got := strings.Join(a.Listen, " "); err != nil || got != step.want || (got != strings.Join(before.Listen, " ")) != (a.Generation > before.Generation) {
				t.Errorf("%s: listens on %q, generation %d after %d, %v", step.management, got, a.Generation, before.Generation, err)
			}
		}
	})
}
