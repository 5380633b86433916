package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"dipper/qemu/ether"
	"dipper/qemu/machine"
	"dipper/qemu/peer"
	"dipper/qemu/peer/call"
)

// runLink is the link in a cluster's directory to where its sockets are.
const runLink = "run"

// The sockets there: the cluster's own, and what a machine's are called behind
// its name.
const (
	labSocket      = "lab"
	terminalSocket = ".terminal"
	controlSocket  = ".control"
)

// Offer lets other processes of the host reach the cluster, through Find: its
// consoles, its peers, its machines' switches and cables. It lasts until Close.
func (c *Cluster) Offer() error {
	link := filepath.Join(c.options.Dir, runLink)
	if err := errors.Join(os.RemoveAll(link), os.Symlink(c.run, link)); err != nil {
		return err
	}
	listener, err := net.Listen("unix", filepath.Join(c.run, labSocket))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: c.handler(), BaseContext: func(net.Listener) context.Context { return c.ctx }}
	context.AfterFunc(c.ctx, func() { server.Close() })
	c.serving.Go(func() { _ = server.Serve(listener) }) // ends with ctx
	for _, m := range c.members {
		if err := c.offerConsole(m.machine); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /peers/{peer}/run", c.serveRun)
	mux.HandleFunc("POST /machines/{machine}/{action}", c.serveMachine)
	mux.HandleFunc("POST /ports/{machine}/{nic}/{action}", c.servePort)
	return mux
}

func (c *Cluster) serveRun(w http.ResponseWriter, r *http.Request) {
	m := c.members[r.PathValue("peer")]
	script, err := io.ReadAll(r.Body)
	switch {
	case m == nil || m.peer == nil:
		unknown(w, "peer", r.PathValue("peer"), c.peers())
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := call.Answer{}
	answer.Stdout, err = m.peer.Run(r.Context(), string(script))
	var exit *peer.ExitError
	switch {
	case errors.As(err, &exit):
		answer.Stderr, answer.Exit = exit.Stderr, exit.Status
	case err != nil:
		answer.Error, answer.Exit = err.Error(), 1
	}
	// A client that went away wants no answer.
	_ = json.NewEncoder(w).Encode(answer)
}

// Actions on a machine, as the command line calls them.
var machineActions = map[string]func(context.Context, *machine.Machine) error{
	"power-button": func(ctx context.Context, m *machine.Machine) error { return m.PowerButton(ctx) },
	"power-cut":    func(_ context.Context, m *machine.Machine) error { m.PowerCut(); return nil },
	"reset":        func(ctx context.Context, m *machine.Machine) error { return m.Reset(ctx) },
	"nmi":          func(ctx context.Context, m *machine.Machine) error { return m.NMI(ctx) },
	"ctrl-alt-del": func(ctx context.Context, m *machine.Machine) error { return m.CtrlAltDel(ctx) },
	"pause":        func(ctx context.Context, m *machine.Machine) error { return m.Pause(ctx) },
	"resume":       func(ctx context.Context, m *machine.Machine) error { return m.Resume(ctx) },
}

func (c *Cluster) serveMachine(w http.ResponseWriter, r *http.Request) {
	m, action := c.members[r.PathValue("machine")], machineActions[r.PathValue("action")]
	switch {
	case m == nil:
		unknown(w, "machine", r.PathValue("machine"), c.Names())
		return
	case action == nil:
		unknown(w, "action on a machine", r.PathValue("action"), slices.Sorted(maps.Keys(machineActions)))
		return
	}
	if err := action(r.Context(), m.machine); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// Actions on a switch's port.
var portActions = map[string]func(*ether.Port){
	"cut":     (*ether.Port).Cut,
	"restore": (*ether.Port).Restore,
}

func (c *Cluster) servePort(w http.ResponseWriter, r *http.Request) {
	ports := c.ports()
	name := r.PathValue("machine") + "/" + r.PathValue("nic")
	port, action := ports[name], portActions[r.PathValue("action")]
	switch {
	case port == nil:
		unknown(w, "network card", name, slices.Sorted(maps.Keys(ports)))
	case action == nil:
		unknown(w, "action on a wire", r.PathValue("action"), slices.Sorted(maps.Keys(portActions)))
	default:
		action(port)
	}
}

// ports are the switches' ports by what is plugged into them: "director/eth0".
func (c *Cluster) ports() map[string]*ether.Port {
	ports := make(map[string]*ether.Port)
	for name, m := range c.members {
		for i, p := range m.ports {
			ports[fmt.Sprintf("%s/eth%d", name, i)] = p
		}
	}
	return ports
}

// peers are the names of those machines that run commands.
func (c *Cluster) peers() []string {
	return slices.DeleteFunc(c.Names(), func(name string) bool { return c.members[name].peer == nil })
}

// unknown refuses a name, and says which there are.
func unknown(w http.ResponseWriter, what, name string, there []string) {
	http.Error(w, noneSuch(what, name, there).Error(), http.StatusNotFound)
}

func noneSuch(what, name string, there []string) error {
	return fmt.Errorf("there is no %s %q: expected one of %s", what, name, strings.Join(there, ", "))
}

// offerConsole attaches whoever connects to the machine's console.
func (c *Cluster) offerConsole(m *machine.Machine) error {
	listener, err := net.Listen("unix", filepath.Join(c.run, m.Name()+terminalSocket))
	if err != nil {
		return err
	}
	context.AfterFunc(c.ctx, func() { listener.Close() })
	c.serving.Go(func() {
		var attached sync.WaitGroup
		defer attached.Wait()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed, by ctx
			}
			attached.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(c.ctx, func() { conn.Close() })()
				_ = m.Console().Attach(c.ctx, conn) // the terminal's end is no failure
			})
		}
	})
	return nil
}

// Remote is a cluster that another process of this host has offered.
type Remote struct {
	run  string
	http *http.Client
}

// Find finds the cluster that was offered with its files in dir.
func Find(dir string) (*Remote, error) {
	run, err := os.Readlink(filepath.Join(dir, runLink))
	if err == nil {
		_, err = os.Stat(filepath.Join(run, labSocket)) // the link outlives its cluster
	}
	if err != nil {
		return nil, fmt.Errorf("no cluster is up here (go run ./qemu lab SCENARIO starts one): %w", err)
	}
	r := &Remote{run: run}
	r.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, filepath.Join(run, labSocket))
		},
	}}
	return r, nil
}

// Control connects to where an appliance's control plane answers HTTP.
func (r *Remote) Control(ctx context.Context, machine string) (net.Conn, error) {
	return r.reach(ctx, "appliance", machine, controlSocket)
}

// Terminal connects to a machine's console.
func (r *Remote) Terminal(ctx context.Context, machine string) (net.Conn, error) {
	return r.reach(ctx, "machine", machine, terminalSocket)
}

// reach connects to a machine's socket of one kind.
func (r *Remote) reach(ctx context.Context, what, machine, kind string) (net.Conn, error) {
	conn, err := dial(ctx, filepath.Join(r.run, machine+kind))
	if !errors.Is(err, fs.ErrNotExist) {
		return conn, err
	}
	sockets, _ := filepath.Glob(filepath.Join(r.run, "*"+kind)) // the pattern is well-formed
	var there []string
	for _, socket := range sockets {
		if found := strings.TrimSuffix(filepath.Base(socket), kind); name.MatchString(found) {
			there = append(there, found) // QEMU's own sockets have a dot more
		}
	}
	return nil, noneSuch(what, machine, there)
}

// Run runs a script in a peer.
func (r *Remote) Run(ctx context.Context, peer, script string) (call.Answer, error) {
	body, err := r.post(ctx, "/peers/"+peer+"/run", script)
	if err != nil {
		return call.Answer{}, err
	}
	var answer call.Answer
	return answer, json.Unmarshal(body, &answer)
}

// Do acts on a machine ("director") or on a port of the switch
// ("director/eth0").
func (r *Remote) Do(ctx context.Context, target, action string) error {
	kind := "/machines/"
	if filepath.Base(target) != target {
		kind = "/ports/"
	}
	_, err := r.post(ctx, kind+target+"/"+action, "")
	return err
}

func (r *Remote) post(ctx context.Context, path, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://lab"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(string(bytes.TrimSpace(answer)))
	}
	return answer, err
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", socket)
}
