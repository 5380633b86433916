// Package ipvsadm owns the language of ipvsadm 1.31: it reads its command
// lines, carries out its edits on a table in memory, and prints its listings
// and saved rules byte for byte. It reaches no kernel, no configuration and no
// socket: who runs a command gives it a Director.
//
// What is parsed and refused, and in which order, follows the program as Debian
// builds it, with popt; what the kernel would refuse of an edit follows
// net/netfilter/ipvs/ip_vs_ctl.c (ip_vs_genl_set_cmd and what it calls). Where
// this package is wider than the program, docs/ipvsadm.md says so.
package ipvsadm
