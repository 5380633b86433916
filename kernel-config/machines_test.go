package main

import (
	"strings"
	"testing"
)

// machines is the hardware that docs/image.md promises, and the rest of what
// the appliance cannot do without: a line that is dropped from a fragment is
// missed here, and nowhere else.
var machines = map[string]string{
	"virtio":            "VIRTIO_PCI VIRTIO_MMIO VIRTIO_NET VIRTIO_BLK SCSI_VIRTIO VIRTIO_CONSOLE VIRTIO_BALLOON VIRTIO_INPUT HW_RANDOM_VIRTIO VIRTIO_VSOCKETS",
	"VMware":            "VMXNET3 VMWARE_PVSCSI",
	"Hyper-V, Azure":    "HYPERV HYPERV_NET HYPERV_STORAGE HYPERV_UTILS PCI_HYPERV HYPERV_KEYBOARD MICROSOFT_MANA",
	"Xen":               "XEN XEN_PVH XEN_PVHVM XEN_NETDEV_FRONTEND XEN_BLKDEV_FRONTEND HVC_XEN",
	"Amazon, Google":    "ENA_ETHERNET GVE",
	"Intel cards":       "E1000 E1000E IGB IGC IXGBE I40E ICE IGBVF IXGBEVF I40EVF",
	"Mellanox cards":    "MLX4_EN MLX5_CORE MLX5_CORE_EN",
	"Broadcom cards":    "BNXT TIGON3",
	"Realtek cards":     "R8169 8139CP",
	"disks":             "BLK_DEV_NVME SATA_AHCI ATA_PIIX BLK_DEV_SD BLK_DEV_SR MEGARAID_SAS SCSI_MPT3SAS SCSI_SMARTPQI",
	"USB":               "USB_XHCI_HCD USB_EHCI_HCD USB_OHCI_HCD USB_UHCI_HCD USB_STORAGE USB_UAS USB_HID HID_GENERIC",
	"keyboard, screen":  "KEYBOARD_ATKBD SERIO_I8042 VGA_CONSOLE FRAMEBUFFER_CONSOLE FB_EFI FB_VESA SYSFB",
	"serial":            "SERIAL_8250_CONSOLE SERIAL_8250_PNP SERIAL_8250_PCI ACPI_SPCR_TABLE",
	"firmware":          "EFI EFI_STUB PVH ACPI ACPI_BUTTON DMI_SYSFS FW_CFG_SYSFS EFIVAR_FS",
	"watchdogs":         "ITCO_WDT LPC_ICH I2C_I801 I6300ESB_WDT SP5100_TCO SOFT_WATCHDOG",
	"clock":             "RTC_CLASS RTC_DRV_CMOS RTC_HCTOSYS PTP_1588_CLOCK_KVM",
	"TPM":               "TCG_TPM TCG_TIS TCG_CRB HW_RANDOM_TPM",
	"crash records":     "PSTORE PSTORE_RAM EFI_VARS_PSTORE ACPI_APEI_GHES",
	"microcode":         "MICROCODE CPU_SUP_INTEL CPU_SUP_AMD",
	"next kernel":       "KEXEC_FILE",
	"file systems":      "EXT4_FS VFAT_FS NLS_CODEPAGE_437 NLS_UTF8 ISO9660_FS JOLIET SQUASHFS SQUASHFS_ZSTD TMPFS",
	"IPVS":              "IP_VS IP_VS_IPV6 IP_VS_PROTO_TCP IP_VS_PROTO_UDP IP_VS_PROTO_SCTP IP_VS_PROTO_AH IP_VS_PROTO_ESP IP_VS_NFCT",
	"tunnels":           "NET_IPIP IPV6_TUNNEL NET_IPGRE IPV6_GRE NET_FOU NET_FOU_IP_TUNNELS IPV6_FOU IPV6_FOU_TUNNEL",
	"packet filter":     "NF_CONNTRACK NF_CONNTRACK_FTP NF_TABLES NF_TABLES_INET NFT_CT NFT_NAT NFT_MASQ NF_NAT",
	"links":             "VLAN_8021Q BONDING BRIDGE MACVLAN DUMMY VETH TUN",
	"routes":            "IP_MULTIPLE_TABLES IPV6_MULTIPLE_TABLES IP_ROUTE_MULTIPATH",
	"capture and tests": "PACKET NET_SCH_NETEM NLMON XDP_SOCKETS",
	"BPF":               "BPF_SYSCALL BPF_JIT BPF_JIT_ALWAYS_ON",
	"how it dies":       "PANIC_ON_OOPS SOFTLOCKUP_DETECTOR WATCHDOG_HANDLE_BOOT_ENABLED",
}

// TestMachines: what the image is promised to run on is built in.
func TestMachines(t *testing.T) {
	r := resolved(t)
	for what, options := range machines {
		for option := range strings.FieldsSeq(options) {
			if got := r.Got.Value("CONFIG_" + option); got != "y" {
				t.Errorf("%s: CONFIG_%s is %s, want y", what, option, got)
			}
		}
	}
}

// TestSizes holds what is a number and no switch.
func TestSizes(t *testing.T) {
	r := resolved(t)
	for option, want := range map[string]string{
		"CONFIG_IP_VS_TAB_BITS":     "18", // 2^18 buckets; more by ip_vs.conn_tab_bits= at boot
		"CONFIG_IP_VS_MH_TAB_INDEX": "16",
		"CONFIG_PANIC_TIMEOUT":      "10",
	} {
		if got := r.Got.Value(option); got != want {
			t.Errorf("%s is %s, want %s", option, got, want)
		}
	}
}
