package machine

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// firstNICSlot is where network cards start on the PCI bus, above everything
// that QEMU places by itself, so that eth0 is the first one whatever else the
// machine has.
const firstNICSlot = 0x10

// commandLine is QEMU's, program included.
func commandLine(c Config) []string {
	return slices.Concat(
		[]string{"qemu-system-x86_64", "-name", c.Name, "-nodefaults", "-nographic"},
		processorArguments(c),
		bootArguments(c),
		consoleArguments(c),
		identityArguments(c),
		nicArguments(c),
		diskArguments(c),
		portArguments(c),
		watchdogArguments(c),
		screenArguments(c),
	)
}

func processorArguments(c Config) []string {
	accelerator := cmp.Or(c.Accelerator, TCG)
	arguments := []string{
		"-machine", chipset(c.Disks),
		"-accel", string(accelerator),
		"-cpu", cmp.Or(c.CPU, processor(accelerator)),
		"-smp", strconv.Itoa(cmp.Or(c.CPUs, 1)),
		"-m", fmt.Sprintf("%dM", cmp.Or(c.Memory, 256)),
		// A guest without a source of entropy waits for it at boot.
		"-device", "virtio-rng-pci",
	}
	if c.CountInstructions {
		arguments = append(arguments, "-icount", "shift=0,sleep=off")
	}
	return arguments
}

// chipset leaves the SATA controller out where no disk is on it: kernels wait
// some 0.2 s for the links of its six empty ports.
func chipset(disks []Disk) string {
	for _, d := range disks {
		if d.Bus == "cdrom" {
			return "q35"
		}
	}
	return "q35,sata=off"
}

// processor is the model of a machine that asks for none. One that promises fast
// byte strings (ERMS) has kernels clear and copy pages with them, and TCG takes
// their bytes one by one: a twentieth of the instructions of a boot.
//
// And CMPXCHG16B of QEMU 7.2's TCG leaves an operand of an earlier instruction
// in the flags (target/i386/tcg/mem_helper.c reads a condition code that the
// translator has not stored). The kernel's allocator uses it; an interrupt right
// behind it saves those flags, with TF, NT or whatever a pointer has there, and
// now and then a boot on a busy host ends in an Oops. Without CX16 the kernel
// does without.
func processor(a Accelerator) string {
	if a == TCG {
		return "max,-erms,-cx16"
	}
	return "max"
}

// uefi is Debian's firmware that has no memory for variables.
const uefi = "/usr/share/ovmf/OVMF.fd"

func bootArguments(c Config) []string {
	var arguments []string
	if c.UEFI {
		arguments = append(arguments, "-bios", uefi)
	}
	if c.Kernel != "" {
		arguments = append(arguments, "-kernel", c.Kernel, "-append", c.CommandLine)
	}
	for _, initrd := range c.Initrds {
		arguments = append(arguments, "-initrd", initrd)
	}
	if !c.Reboots {
		arguments = append(arguments, "-no-reboot")
	}
	return arguments
}

// consoleArguments let QEMU call the sockets that Start listens on: nothing
// that the guest says is lost before somebody listens.
func consoleArguments(c Config) []string {
	return []string{
		"-chardev", fmt.Sprintf("socket,id=console,path=%s,logfile=%s", escape(c.socket("console")), escape(c.file("console.log"))),
		"-serial", "chardev:console",
		"-chardev", "socket,id=qmp,path=" + escape(c.socket("qmp")),
		"-mon", "chardev=qmp,mode=control",
	}
}

func identityArguments(c Config) []string {
	var arguments []string
	if c.UUID != "" {
		arguments = append(arguments, "-uuid", c.UUID)
	}
	if c.Serial != "" {
		arguments = append(arguments, "-smbios", "type=1,serial="+escape(c.Serial))
	}
	for _, s := range c.OEMStrings {
		arguments = append(arguments, "-smbios", "type=11,value="+escape(s))
	}
	for _, name := range slices.Sorted(maps.Keys(c.FWCfg)) {
		arguments = append(arguments, "-fw_cfg", fmt.Sprintf("name=%s,file=%s", escape(name), escape(c.FWCfg[name])))
	}
	return arguments
}

func nicID(i int) string { return fmt.Sprintf("nic%d", i) }

func nicArguments(c Config) []string {
	var arguments []string
	for i, nic := range c.NICs {
		arguments = append(arguments,
			"-netdev", fmt.Sprintf("stream,id=lan%d,server=off,addr.type=unix,addr.path=%s", i, escape(nic.Socket)),
			// Without its ROM the card offers no network boot, which takes seconds to fail.
			"-device", fmt.Sprintf("%s,id=%s,netdev=lan%d,mac=%s,addr=0x%x,romfile=",
				cmp.Or(nic.Model, "virtio-net-pci"), nicID(i), i, nic.MAC, firstNICSlot+i))
	}
	return arguments
}

func diskArguments(c Config) []string {
	devices := map[string]string{
		"":       "virtio-blk-pci",
		"virtio": "virtio-blk-pci",
		"nvme":   "nvme",
		"usb":    "usb-storage,bus=usb.0",
		"cdrom":  "ide-cd",
	}
	var arguments []string
	for i, disk := range c.Disks {
		if disk.Bus == "usb" && !slices.Contains(arguments, "qemu-xhci,id=usb") {
			arguments = append(arguments, "-device", "qemu-xhci,id=usb")
		}
		drive := fmt.Sprintf("if=none,id=disk%d,file=%s,format=%s", i, escape(disk.Path), cmp.Or(disk.Format, "raw"))
		if disk.ReadOnly {
			drive += ",readonly=on"
		}
		device := fmt.Sprintf("%s,drive=disk%d", devices[disk.Bus], i)
		if serial := diskSerial(disk, i); serial != "" {
			device += ",serial=" + escape(serial)
		}
		arguments = append(arguments, "-drive", drive, "-device", device)
	}
	return arguments
}

// diskSerial makes one up for NVMe, which demands it.
func diskSerial(d Disk, i int) string {
	if d.Serial == "" && d.Bus == "nvme" {
		return fmt.Sprintf("disk%d", i)
	}
	return d.Serial
}

func portArguments(c Config) []string {
	if len(c.Ports) == 0 {
		return nil
	}
	arguments := []string{"-device", "virtio-serial-pci"}
	for i, name := range c.Ports {
		arguments = append(arguments,
			"-chardev", fmt.Sprintf("socket,id=port%d,path=%s,server=on,wait=off", i, escape(c.socket(name))),
			"-device", fmt.Sprintf("virtserialport,chardev=port%d,name=%s", i, escape(name)))
	}
	return arguments
}

func watchdogArguments(c Config) []string {
	if !c.Watchdog {
		return nil
	}
	return []string{"-device", "i6300esb", "-action", "watchdog=reset"}
}

func screenArguments(c Config) []string {
	if !c.Screen {
		return nil
	}
	return []string{"-device", "VGA"}
}

// escape protects a value in QEMU's comma-separated options.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellQuote renders arguments so that a shell reads them back.
func shellQuote(arguments []string) string {
	quoted := make([]string, len(arguments))
	for i, a := range arguments {
		if quoted[i] = a; !shellSafe.MatchString(a) {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
