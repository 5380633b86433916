package lab

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dipper/qemu/ether"
	"dipper/qemu/peer"
)

// TestNamesThatAreNotThere: whoever types a wrong one is told which there are.
func TestNamesThatAreNotThere(t *testing.T) {
	lan := ether.NewLAN("lan")
	defer lan.Close()
	c := &Cluster{
		description: &Description{Nodes: []*Node{{Name: "client", Peer: true}, {Name: "director"}}},
		members: map[string]*Member{
			"client":   {ports: []*ether.Port{lan.Port("client.eth0")}, peer: &peer.Peer{}},
			"director": {ports: []*ether.Port{lan.Port("director.eth0")}},
		},
	}
	for path, want := range map[string]string{
		"/peers/director/run":       `there is no peer "director": expected one of client`,
		"/machines/web1/reset":      `there is no machine "web1": expected one of client, director`,
		"/machines/director/sing":   `there is no action on a machine "sing": expected one of ctrl-alt-del, nmi, pause, power-button, power-cut, reset, resume`,
		"/ports/director/eth1/cut":  `there is no network card "director/eth1": expected one of client/eth0, director/eth0`,
		"/ports/director/eth0/burn": `there is no action on a wire "burn": expected one of cut, restore`,
	} {
		answer := httptest.NewRecorder()
		c.handler().ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, nil))
		if got := strings.TrimSpace(answer.Body.String()); got != want || answer.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s, want %d %s", path, answer.Code, got, http.StatusNotFound, want)
		}
	}
}

// TestReachTellsWhomThereIs has a cluster of one machine, whose control plane
// is offered and whose console is not.
func TestReachTellsWhomThereIs(t *testing.T) {
	dir, run := t.TempDir(), t.TempDir()
	for _, name := range []string{labSocket, "director" + controlSocket, "director.dipper" + controlSocket} {
		listener, err := net.Listen("unix", filepath.Join(run, name))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
	if err := os.Symlink(run, filepath.Join(dir, runLink)); err != nil {
		t.Fatal(err)
	}
	r, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := r.Control(t.Context(), "director")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := r.Control(t.Context(), "client"); err == nil || err.Error() != `there is no appliance "client": expected one of director` {
		t.Errorf("got %v", err)
	}
}

// TestFindTellsAnEndedCluster: the link stays when its cluster has ended.
func TestFindTellsAnEndedCluster(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, runLink)); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); err == nil || !strings.Contains(err.Error(), "no cluster is up here") {
		t.Errorf("got %v", err)
	}
}

// TestSlots: a third cluster says that it waits, and waits.
func TestSlots(t *testing.T) {
	dir := t.TempDir()
	for range slots {
		s, err := takeSlot(t.Context(), dir, func() { t.Error("waits, and there is a free slot") })
		if err != nil {
			t.Fatal(err)
		}
		defer s.release()
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := takeSlot(ctx, dir, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of a wait", err)
	}
}
