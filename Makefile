# Dipper: the table of contents. `make help` lists what there is.
ARCH     ?= amd64
BUILD    := build/$(ARCH)
SCENARIO ?= s2-dr
export GOFLAGS ?= -buildvcs=false
# Where toolchain.sh puts a Go on machines that have none that is new enough.
export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dipper/go/bin:$(PATH)

# Debian packages by what needs them.
KERNEL_PACKAGES := linux-source-6.12 build-essential flex bison bc libelf-dev libssl-dev zstd xz-utils cpio kmod rsync
IMAGE_PACKAGES  := squashfs-tools zstd
LAB_PACKAGES    := qemu-system-x86 seabios ovmf ipxe-qemu
BENCH_PACKAGES  := mmdebstrap
TEST_PACKAGES   := shellcheck iproute2 curl tcpdump dnsmasq-base dosfstools mtools syslinux systemd-boot-efi e2fsprogs genisoimage xorriso cpio openssh-client

.DEFAULT_GOAL := help
.PHONY: help deps demo test lint image kernel lab bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

deps: ## install the Debian packages that building and testing need
	./toolchain.sh
	./deps.sh $(KERNEL_PACKAGES) $(IMAGE_PACKAGES) $(LAB_PACKAGES) $(TEST_PACKAGES)

kernel: deps ## build/amd64/vmlinuz, from the cache if nothing changed
	go run ./kernel-config -arch $(ARCH) -o $(BUILD)/vmlinuz

image: deps ## kernel, initramfs and manifest in build/amd64
	go run ./image -arch $(ARCH) -o $(BUILD)

demo: image ## boot the NAT, DR and TUN clusters, send HTTP through the VIPs, print what went where
	go run ./qemu demo

lab: image ## a cluster that stays up: make lab SCENARIO=s2-dr
	go run ./qemu lab $(SCENARIO)

test: image ## everything: unit, race, namespaces, QEMU scenarios
	go vet ./...
	go test -race -short ./...
	DIPPER_BUILD=$(CURDIR)/$(BUILD) ./test.sh ./...

lint: deps ## gofmt, vet, staticcheck, shellcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck ./...
	shellcheck $$(git ls-files '*.sh') .ci/run

bench: image ## the figures of docs/performance.md, and build/bench.json
	./deps.sh $(BENCH_PACKAGES)
	go run ./qemu bench -o build/bench.json

clean: ## remove build/ (the caches stay)
	rm -rf build
