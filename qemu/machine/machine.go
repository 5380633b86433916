// Package machine is one virtual machine: a QEMU process, its serial console,
// its monitor and its virtio-serial ports.
//
// It owns the process from start to end. It knows neither what the machine
// boots nor whom it talks to: kernels, networks and their meaning belong to its
// callers.
package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is a machine before it is started. Paths are the host's.
type Config struct {
	Name string // "director": for messages and file names
	Dir  string // exists; keeps the command line, console log and QEMU's stderr
	Run  string // exists; for unix sockets, so its path must be short (108 bytes with the file name)

	UEFI        bool     // the firmware is UEFI instead of a BIOS
	Kernel      string   // empty: the firmware looks for what to boot
	Initrds     []string // unpacked one over the other
	CommandLine string   // of the kernel

	Accelerator       Accelerator // TCG if empty
	CountInstructions bool        // guest time is instructions: repeats exactly, TCG only
	CPU               string      // QEMU's model; the richest if empty
	CPUs              int         // 1 if 0
	Memory            int         // MiB, 256 if 0
	NICs              []NIC
	Disks             []Disk
	Ports             []string          // names of virtio-serial ports, for Dial
	FWCfg             map[string]string // fw_cfg item name to file: "opt/dipper/config"
	OEMStrings        []string          // SMBIOS type 11
	Serial, UUID      string            // SMBIOS type 1
	Screen            bool              // a VGA; the keyboard is there anyway
	Watchdog          bool              // an i6300esb that resets the machine
	Reboots           bool              // a guest's reboot reboots it; otherwise the process ends
}

// NIC is one network card. The first is the guest's eth0, and so on.
type NIC struct {
	MAC    string // "52:54:00:00:01:00"
	Socket string // of the switch's port (-netdev stream)
	Model  string // QEMU's device, "virtio-net-pci" if empty
}

// Disk is one volume.
type Disk struct {
	Path     string
	Format   string // "raw" if empty
	Serial   string // what the guest sees as the disk's serial number
	ReadOnly bool
	Bus      string // "virtio" (if empty), "nvme", "usb", "cdrom"
}

// Machine is a running QEMU. Close it.
type Machine struct {
	config  Config
	process *process
	console *Console
	monitor *monitor
}

// startDeadline is for QEMU itself to answer on its monitor, before any guest
// instruction matters. Seconds on an idle host, but hosts are shared.
const startDeadline = time.Minute

// Start runs QEMU and returns once it answers; the guest boots by then. ctx
// limits the start only.
func Start(ctx context.Context, c Config) (*Machine, error) {
	m, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", c.Name, err)
	}
	return m, nil
}

func start(ctx context.Context, c Config) (*Machine, error) {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	c, err := joinInitrds(c)
	if err != nil {
		return nil, err
	}
	arguments := commandLine(c)
	if err := os.WriteFile(c.file("command"), []byte(shellQuote(arguments)+"\n"), 0o644); err != nil {
		return nil, err
	}
	consoleSocket, err := listen(c.socket("console"))
	if err != nil {
		return nil, err
	}
	defer consoleSocket.Close()
	monitorSocket, err := listen(c.socket("qmp"))
	if err != nil {
		return nil, err
	}
	defer monitorSocket.Close()
	p, err := startProcess(arguments, c.file("qemu.stderr"))
	if err != nil {
		return nil, err
	}
	m := &Machine{config: c, process: p}
	if err := m.connect(ctx, consoleSocket, monitorSocket); err != nil {
		p.kill()
		return nil, errors.Join(err, p.stderr())
	}
	return m, nil
}

// connect waits for QEMU to call back on both sockets. It creates the sockets
// of the virtio ports before it greets on the monitor.
func (m *Machine) connect(ctx context.Context, consoleSocket, monitorSocket *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { consoleSocket.Close(); monitorSocket.Close() })
	defer stop()
	go func() { // QEMU that dies early calls nobody
		select {
		case <-m.process.ended:
			consoleSocket.Close()
			monitorSocket.Close()
		case <-ctx.Done():
		}
	}()
	console, err := consoleSocket.Accept()
	if err != nil {
		return fmt.Errorf("qemu does not connect its console: %w", cmp.Or(ctx.Err(), m.process.failure(), err))
	}
	m.console = newConsole(console)
	conn, err := monitorSocket.Accept()
	if err != nil {
		return fmt.Errorf("qemu does not connect its monitor: %w", cmp.Or(ctx.Err(), m.process.failure(), err))
	}
	m.monitor, err = newMonitor(ctx, conn)
	return err
}

// Name is the machine's name.
func (m *Machine) Name() string { return m.config.Name }

// Console is the serial console, from the first byte on.
func (m *Machine) Console() *Console { return m.console }

// Dial connects to a virtio-serial port. QEMU serves one connection to each
// port at a time; another one waits for it to end.
func (m *Machine) Dial(ctx context.Context, port string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", m.config.socket(port))
	if err != nil {
		return nil, fmt.Errorf("machine %s: port %s: %w", m.Name(), port, err)
	}
	return conn, nil
}

// PowerButton presses the ACPI power button.
func (m *Machine) PowerButton(ctx context.Context) error {
	return m.do(ctx, "system_powerdown", nil)
}

// Reset pulls the reset line. Unless Config.Reboots is set this ends the machine.
func (m *Machine) Reset(ctx context.Context) error { return m.do(ctx, "system_reset", nil) }

// NMI injects a non-maskable interrupt.
func (m *Machine) NMI(ctx context.Context) error { return m.do(ctx, "inject-nmi", nil) }

// CtrlAltDel presses the three keys.
func (m *Machine) CtrlAltDel(ctx context.Context) error {
	type key struct {
		Type string `json:"type"`
		Data string `json:"data"`
	}
	return m.do(ctx, "send-key", map[string]any{
		"keys": []key{{"qcode", "ctrl"}, {"qcode", "alt"}, {"qcode", "delete"}},
	})
}

// SetLink plugs or unplugs the cable of a network card: the guest's carrier
// follows. The switch's Port.Cut is the failure without loss of carrier.
func (m *Machine) SetLink(ctx context.Context, nic int, up bool) error {
	return m.do(ctx, "set_link", map[string]any{"name": nicID(nic), "up": up})
}

// Pause stops the machine's processors, as a hypervisor that is overloaded or
// migrating does. Resume lets them go on.
func (m *Machine) Pause(ctx context.Context) error { return m.do(ctx, "stop", nil) }

// Resume ends a Pause.
func (m *Machine) Resume(ctx context.Context) error { return m.do(ctx, "cont", nil) }

// Await waits for a monitor event (QEMU's QMP reference lists them) that is
// what the caller looks for, among those since the start of the machine. The
// machine's end is an error, after its last event.
func (m *Machine) Await(ctx context.Context, wanted func(Event) bool) (Event, error) {
	event, err := m.monitor.await(ctx, wanted)
	if err != nil {
		return Event{}, fmt.Errorf("machine %s: %w", m.Name(), err)
	}
	return event, nil
}

// Execute runs any monitor command and answers its "return" as JSON.
func (m *Machine) Execute(ctx context.Context, command string, arguments any) ([]byte, error) {
	answer, err := m.monitor.execute(ctx, command, arguments)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.Name(), err)
	}
	return answer, nil
}

func (m *Machine) do(ctx context.Context, command string, arguments any) error {
	_, err := m.Execute(ctx, command, arguments)
	return err
}

// Ended is closed when the QEMU process is gone.
func (m *Machine) Ended() <-chan struct{} { return m.process.ended }

// PowerCut ends the machine at once, as pulling its plug does.
func (m *Machine) PowerCut() {
	m.process.kill()
	m.release()
}

// Close ends the machine in whatever state it is, and waits until it is gone.
// Its disks are flushed by QEMU; the guest is not asked.
func (m *Machine) Close() error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// An error means that QEMU is gone or hangs; both are seen below.
	_, _ = m.monitor.execute(ctx, "quit", nil)
	select {
	case <-m.process.ended:
	case <-ctx.Done():
		m.process.kill()
	}
	m.release()
	return m.process.failure()
}

func (m *Machine) release() {
	m.console.close()
	m.monitor.close()
	for _, name := range append([]string{"console", "qmp"}, m.config.Ports...) {
		_ = os.Remove(m.config.socket(name)) // may be gone already
	}
}

func (c Config) file(name string) string   { return filepath.Join(c.Dir, c.Name+"."+name) }
func (c Config) socket(name string) string { return filepath.Join(c.Run, c.Name+"."+name) }

func listen(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// joinInitrds makes one file of several, since QEMU loads one. The kernel
// unpacks concatenated archives in order and skips zeros between them
// (Documentation/driver-api/early-userspace/buffer-format.rst).
func joinInitrds(c Config) (Config, error) {
	if len(c.Initrds) < 2 {
		return c, nil
	}
	var joined strings.Builder
	for _, path := range c.Initrds {
		content, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("initrd: %w", err)
		}
		joined.Write(content)
		joined.WriteString(strings.Repeat("\x00", -len(content)&3))
	}
	c.Initrds = []string{c.file("initrd")}
	return c, os.WriteFile(c.Initrds[0], []byte(joined.String()), 0o644)
}
