package bootconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Where firmware and hypervisor leave a boot config, below the root.
const (
	smbiosTable  = "sys/firmware/dmi/tables/DMI"
	firmwareFile = "sys/firmware/qemu_fw_cfg/by_name/opt/dipper/config"
	initrdFile   = "etc/dipper/dipper.yaml"
)

// fromSMBIOS is source 3, first half: a string in memory that every hypervisor
// can set and that costs one read.
func (a *acquisition) fromSMBIOS(context.Context) (finding, error) {
	table, err := readFile(filepath.Join(a.Root, smbiosTable))
	if errors.Is(err, fs.ErrNotExist) {
		return finding{}, absentError{"the firmware has no SMBIOS table"}
	}
	found := finding{place: "OEM string " + parameter}
	if err != nil {
		return found, err
	}
	for _, text := range oemStrings(table) {
		if value, ok := strings.CutPrefix(text, parameter+"="); ok {
			found.data, err = decodeBase64(value)
			return found, err
		}
	}
	return found, absentError{"no such string"}
}

// The SMBIOS structure types that matter here (DMTF DSP0134, sections 7.12 and 7.44).
const (
	smbiosOEMStrings = 11
	smbiosEndOfTable = 127
)

// oemStrings lists the strings of all type 11 structures of an SMBIOS table.
// A structure is a header (type, length, handle), the rest of its length, and
// strings that each end in NUL, the last followed by another NUL. A damaged
// table yields the strings before the damage.
func oemStrings(table []byte) []string {
	var all []string
	for len(table) >= 4 && table[0] != smbiosEndOfTable {
		kind, length := table[0], int(table[1])
		if length < 4 || length > len(table) {
			break
		}
		rest := table[length:]
		end := bytes.Index(rest, []byte{0, 0})
		if end < 0 {
			break
		}
		if kind == smbiosOEMStrings && end > 0 {
			all = append(all, strings.Split(string(rest[:end]), "\x00")...)
		}
		table = rest[end+2:]
	}
	return all
}

// fromFirmwareFile is source 3, second half: QEMU's fw_cfg. It is slower than
// SMBIOS and can hold more.
func (a *acquisition) fromFirmwareFile(context.Context) (finding, error) {
	found := finding{place: "opt/dipper/config"}
	directory := filepath.Join(a.Root, firmwareFile)
	text, err := os.ReadFile(filepath.Join(directory, "size"))
	if errors.Is(err, fs.ErrNotExist) {
		return found, absentError{"no such file"}
	}
	if err != nil {
		return found, err
	}
	size, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return found, fmt.Errorf("size of the file: %w", err)
	}
	if size > MaxSize {
		return found, errTooLarge
	}
	found.data, err = readExactly(filepath.Join(directory, "raw"), int(size))
	return found, err
}

// readExactly reads size bytes and does not look for the end of the file: every
// read of fw_cfg at an offset begins at the start of the file again, byte by
// byte through an I/O port (drivers/firmware/qemu_fw_cfg.c, fw_cfg_read_blob).
func readExactly(path string, size int) (data []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data = make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return data, nil
}

// fromInitrd is source 5: the kernel unpacks initrds one over the other, so
// that a boot loader can add a file to the image.
func (a *acquisition) fromInitrd(context.Context) (finding, error) {
	found := finding{place: "/" + initrdFile}
	var err error
	found.data, err = readFile(filepath.Join(a.Root, initrdFile))
	if errors.Is(err, fs.ErrNotExist) {
		return found, absentError{"no such file"}
	}
	return found, err
}

// readFile reads a file of at most MaxSize bytes.
func readFile(path string) (data []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return readOpen(file)
}

func readOpen(file *os.File) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", filepath.Base(file.Name()))
	}
	data, err := readBounded(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(file.Name()), err)
	}
	return data, nil
}
