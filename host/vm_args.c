/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what stands on QEMU's and on the guest kernel's command line. */
#define LOG_TAG "vm"
#include "host/vm_args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define MAX_ARGS	  512
#define MAX_DRIVES	  16
#define DEFAULT_AGENT	  "org.qemu.guest_agent.0"
#define RECONNECT_MS	  1000 /* a synthetic NIC's front end looks for us again after that */
/*
 * ms that QEMU waits for an answer, QEMU's own default. A stuck server freezes the monitor for that
 * long; but one answer that comes later than this costs the device: QEMU 11.1 takes the late
 * reply's header, leaves its body in the socket, and reads that as the next header ("bad header
 * size").
 */
#define MSG_TIMEOUT	  5000
/* Removing a device aborts QEMU up to this version. */
#define BUGGY_UP_TO_MAJOR 11
#define BUGGY_UP_TO_MINOR 1
/* -mon is the only way up to this version and deprecated after it. */
#define MON_UP_TO_MAJOR	  11
#define MON_UP_TO_MINOR	  0

/* False, too, for what is no version. */
static bool version_after(const char *version, int major, int minor)
{
	int v_major, v_minor;

	if (!version || sscanf(version, "%d.%d", &v_major, &v_minor) != 2)
		return false;
	return v_major > major || (v_major == major && v_minor > minor);
}

struct args {
	char **v;
	unsigned int n;
	bool failed;
};

static void add(struct args *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	if (a->failed || a->n >= MAX_ARGS) {
		a->failed = true;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&a->v[a->n], fmt, ap) < 0) {
		a->v[a->n] = NULL;
		a->failed = true;
	} else {
		a->n++;
	}
	va_end(ap);
}

/* An option whose value is a JSON object, so that no comma in a path means anything. */
static void add_json(struct args *a, const char *option, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	json_decref(value);
	if (!text) {
		a->failed = true;
		return;
	}
	add(a, "%s", option);
	add(a, "%s", text);
	free(text);
}

static void add_drives(struct args *a, const json_t *drives)
{
	json_t *d;
	size_t i;

	json_array_foreach ((json_t *)drives, i, d) {
		const char *fmt = json_string_value(json_object_get(d, "format"));
		const char *serial = json_string_value(json_object_get(d, "serial"));
		const char *iface = json_string_value(json_object_get(d, "interface"));
		json_t *ro = json_object_get(d, "readonly"), *dev;
		char node[32];

		snprintf(node, sizeof(node), "drive%zu", i);
		add_json(a, "-blockdev",
			 json_pack("{s:s, s:s, s:b, s:{s:s, s:O}}", "driver", fmt ? fmt : "raw",
				   "node-name", node, "read-only", !ro || json_is_true(ro), "file",
				   "driver", "file", "filename", json_object_get(d, "file")));
		dev = json_pack("{s:s, s:s}", "driver", iface ? iface : "virtio-blk-pci", "drive",
				node);
		if (dev && serial)
			json_object_set_new(dev, "serial", json_string(serial));
		add_json(a, "-device", dev);
	}
}

/* QEMU's options take ",," for a comma in a value. */
static void double_commas(const char *in, char out[2 * RUNTIME_PATH_MAX])
{
	for (; *in; in++) {
		*out++ = *in;
		if (*in == ',')
			*out++ = ',';
	}
	*out = '\0';
}

/* ---- NICs ---- */

json_t *vm_qmp_chardev(unsigned int slot, const struct vm_nic_conf *nic)
{
	char id[16];

	snprintf(id, sizeof(id), "cs%u", slot);
	return json_pack("{s:s, s:{s:s, s:{s:{s:s, s:{s:s}}, s:b, s:i}}}", "id", id, "backend",
			 "type", "socket", "data", "addr", "type", "unix", "data", "path",
			 nic->vhost, "server", 0, "reconnect-ms", RECONNECT_MS);
}

json_t *vm_netdev(unsigned int slot, const struct vm_nic_conf *nic)
{
	char id[16], chardev[16];

	snprintf(id, sizeof(id), "ns%u", slot);
	snprintf(chardev, sizeof(chardev), "cs%u", slot);
	return json_pack("{s:s, s:s, s:s, s:i}", "type", "vhost-user", "id", id, "chardev", chardev,
			 "queues", (int)nic->queues);
}

json_t *vm_synthetic_device(unsigned int slot, const struct vm_nic_conf *nic)
{
	const uint8_t *m = nic->mac;
	char id[16], netdev[16], bus[16], mac[18];
	json_t *dev;

	snprintf(id, sizeof(id), "syn%u", slot);
	snprintf(netdev, sizeof(netdev), "ns%u", slot);
	snprintf(bus, sizeof(bus), "rs%u", slot);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	/* No option ROM: nothing boots from it, and 16 of them would cost time. */
	dev = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "driver", "virtio-net-pci", "id", id,
			"netdev", netdev, "bus", bus, "mac", mac, "host_mtu", (int)nic->mtu,
			"romfile", "");
	/* A pair of queues takes two vectors, control and configuration one each. */
	if (dev && nic->queues > 1) {
		json_object_set_new(dev, "mq", json_true());
		json_object_set_new(dev, "vectors", json_integer(2 * nic->queues + 2));
	}
	if (dev && nic->failover)
		json_object_set_new(dev, "failover", json_true());
	return dev;
}

json_t *vm_vf_device(unsigned int slot, const struct vm_nic_conf *nic)
{
	char id[16], pair[16], bus[16];
	json_t *dev;

	snprintf(id, sizeof(id), "vf%u", slot);
	snprintf(bus, sizeof(bus), "rv%u", slot);
	dev = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}, s:i}", "driver", "vfio-user-pci", "id", id,
			"bus", bus, "socket", "type", "unix", "path", nic->socket, "x-msg-timeout",
			MSG_TIMEOUT);
	if (dev && nic->failover) {
		snprintf(pair, sizeof(pair), "syn%u", slot);
		json_object_set_new(dev, "failover_pair_id", json_string(pair));
	}
	return dev;
}

/*
 * Two root ports per slot, in use or not: a function above 0 is invisible without function 0. No
 * I/O ports behind them (io-reserve=0), which the firmware would soon run out of.
 */
static void add_root_port(struct args *a, const char *name, unsigned int device, unsigned int slot,
			  unsigned int number)
{
	add(a, "-device");
	add(a,
	    "pcie-root-port,id=%s%u,bus=pcie.0,addr=0x%x.%u,multifunction=on,chassis=%u,slot=%u,"
	    "io-reserve=0",
	    name, slot, device + slot / 8, slot % 8, number, number);
}

static void add_nics(struct args *a, const struct vm_conf *conf)
{
	char path[2 * RUNTIME_PATH_MAX];

	for (unsigned int i = 0; i < conf->n_slots; i++) {
		add_root_port(a, "rs", VM_PCI_SYNTHETIC, i, i + 1);
		add_root_port(a, "rv", VM_PCI_VF, i, LAB_VM_NICS + i + 1);
	}
	for (unsigned int i = 0; i < conf->n_slots; i++) {
		const struct vm_nic_conf *nic = &conf->nics[i];

		if (nic->synthetic) {
			double_commas(nic->vhost, path);
			add(a, "-chardev");
			add(a, "socket,id=cs%u,path=%s,reconnect-ms=%d", i, path, RECONNECT_MS);
			add_json(a, "-netdev", vm_netdev(i, nic));
			add_json(a, "-device", vm_synthetic_device(i, nic));
		}
		if (nic->vf)
			add_json(a, "-device", vm_vf_device(i, nic));
	}
}

char **vm_args(const struct vm_conf *conf)
{
	const char *agent = json_string_value(json_object_get(conf->image, "agent"));
	const char *initrd = json_string_value(json_object_get(conf->image, "initrd"));
	const char *version = json_string_value(json_object_get(conf->qemu, "version"));
	char sock[2 * RUNTIME_PATH_MAX], log[2 * RUNTIME_PATH_MAX];
	struct args a = {.v = calloc(MAX_ARGS + 1, sizeof(char *))};
	json_t *extra;
	size_t i;

	if (!a.v)
		return NULL;
	add(&a, "%s", json_string_value(json_object_get(conf->qemu, "path")));
	json_array_foreach (json_object_get(conf->qemu, "args"), i, extra)
		add(&a, "%s", json_string_value(extra));
	add(&a, "-name");
	add(&a, "guest=%s,debug-threads=on", conf->name);
	add(&a, "-nodefaults");
	add(&a, "-no-user-config");
	add(&a, "-display");
	add(&a, "none");
	add(&a, "-machine");
	add(&a, "q35,memory-backend=m0");
	if (conf->hotplug == LAB_HOTPLUG_NATIVE) {
		add(&a, "-global");
		add(&a, "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off");
	}
	add(&a, "-accel");
	add(&a, conf->kvm ? "kvm" : "tcg,thread=multi");
	add(&a, "-cpu");
	add(&a, conf->kvm ? "host" : "max");
	/*
	 * With one possible CPU TCG makes the guest's locked instructions plain ones, and a
	 * device in another process then sees torn updates: a second must at least be possible.
	 */
	add(&a, "-smp");
	if (conf->cpus > 1)
		add(&a, "%u", conf->cpus);
	else
		add(&a, "1,maxcpus=2");
	add(&a, "-m");
	add(&a, "%uM", conf->memory_mb);
	add(&a, "-object");
	add(&a, "memory-backend-memfd,id=m0,size=%uM,share=on", conf->memory_mb);
	add(&a, "-kernel");
	add(&a, "%s", json_string_value(json_object_get(conf->image, "kernel")));
	if (initrd) {
		add(&a, "-initrd");
		add(&a, "%s", initrd);
	}
	add(&a, "-append");
	add(&a, "%s", conf->cmdline);
	/* A guest that panics stays for a look; one that reboots reboots. */
	add(&a, "-action");
	add(&a, "panic=pause,reboot=reset,shutdown=poweroff");
	add(&a, "-device");
	add(&a, "pvpanic-pci");
	add(&a, "-chardev");
	add(&a, "socket,id=qmp0,fd=%d", VM_FD_QMP);
	if (version_after(version, MON_UP_TO_MAJOR, MON_UP_TO_MINOR)) {
		add(&a, "-object");
		add(&a, "monitor-qmp,id=mon0,chardev=qmp0");
	} else {
		add(&a, "-mon");
		add(&a, "chardev=qmp0,mode=control");
	}
	add(&a, "-chardev");
	double_commas(conf->console_sock, sock);
	double_commas(conf->console_log, log);
	add(&a, "socket,id=con0,path=%s,server=on,wait=off,logfile=%s,logappend=on", sock, log);
	add(&a, "-serial");
	add(&a, "chardev:con0");
	add(&a, "-device");
	add(&a, "virtio-serial-pci");
	add(&a, "-chardev");
	add(&a, "socket,id=ga0,fd=%d", VM_FD_AGENT);
	add_json(&a, "-device",
		 json_pack("{s:s, s:s, s:s, s:s}", "driver", "virtserialport", "id", VM_AGENT_PORT,
			   "chardev", "ga0", "name", agent ? agent : DEFAULT_AGENT));
	add_drives(&a, json_object_get(conf->image, "drives"));
	add_nics(&a, conf);
	if (conf->incoming) {
		add(&a, "-S");
		add(&a, "-incoming");
		add(&a, "defer");
	}
	if (a.failed) {
		vm_args_free(a.v);
		return NULL;
	}
	return a.v;
}

void vm_args_free(char **argv)
{
	for (char **at = argv; at && *at; at++)
		free(*at);
	free(argv);
}

void vm_conf_clear(struct vm_conf *conf)
{
	json_decref(conf->qemu);
	json_decref(conf->image);
	free(conf->cmdline);
	memset(conf, 0, sizeof(*conf));
}

/* "10.0.0.4/24", or nothing. */
static void with_prefix(const char *ip, unsigned int prefix, char *out, size_t size)
{
	out[0] = '\0';
	if (*ip)
		snprintf(out, size, "%s/%u", ip, prefix);
}

/* The peer's first NIC on a network that @vm is on too; NULL: none. */
static const struct lab_nic *shared_nic(const struct lab_vm *vm, const struct lab_vm *peer)
{
	for (unsigned int i = 0; i < vm->n_nics; i++)
		for (unsigned int k = 0; k < peer->n_nics; k++)
			if (vm->nics[i].net == peer->nics[k].net)
				return &peer->nics[k];
	return NULL;
}

static bool append(char *line, const char *fmt, ...) PRINTF_LIKE(2, 3);

static bool append(char *line, const char *fmt, ...)
{
	size_t len = strlen(line);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + len, VM_CMDLINE_MAX - len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= VM_CMDLINE_MAX - len) {
		line[len] = '\0';
		return false;
	}
	return true;
}

char *vm_cmdline(const struct lab *lab, const struct lab_vm *vm, const char *base)
{
	char *line = calloc(1, VM_CMDLINE_MAX);
	unsigned int left_out = 0;
	bool ok;

	if (!line)
		return NULL;
	ok = append(line, "%s hvlab.name=%s", base, vm->name);
	for (unsigned int i = 0; i < vm->n_nics; i++) {
		const struct lab_nic *nic = &vm->nics[i];
		const struct lab_net *net = &lab->nets[nic->net];
		char ip4[INET_ADDRSTRLEN + 4], ip6[INET6_ADDRSTRLEN + 5];

		with_prefix(nic->ip4, net->prefix4, ip4, sizeof(ip4));
		with_prefix(nic->ip6, net->link6, ip6, sizeof(ip6));
		/*
		 * The words outlast the NIC in a guest that is not started anew; one of its name
		 * that is added again has its MAC, but maybe not its address.
		 */
		if (nic->added && net->dhcp) {
			snprintf(ip4, sizeof(ip4), "%s", *ip4 ? "dhcp" : "");
			snprintf(ip6, sizeof(ip6), "%s", *ip6 ? "dhcp" : "");
		}
		ok = ok && append(line, " hvlab.nic=%s,%s,%s,%s,%u", nic->mac_text, nic->name, ip4,
				  ip6, nic->mtu);
		if (*ip4 && !(nic->added && net->dhcp) && *net->gateway4 &&
		    strcmp(nic->ip4, net->gateway4) != 0)
			ok = ok && append(line, ",%s", net->gateway4);
	}
	if (vm->append)
		ok = ok && append(line, " %s", vm->append);
	if (!ok) {
		free(line);
		errno = E2BIG;
		return NULL;
	}
	for (unsigned int i = 0; i < lab->n_all; i++) {
		const struct lab_vm *peer = &lab->vms[i];
		const struct lab_nic *nic = peer == vm ? NULL : shared_nic(vm, peer);

		if (!nic)
			continue;
		if ((nic->ip4[0] && !append(line, " hvlab.host=%s,%s", peer->name, nic->ip4)) ||
		    (nic->ip6[0] && !append(line, " hvlab.host=%s,%s", peer->name, nic->ip6)))
			left_out++;
	}
	if (left_out)
		log_warn("%s: the kernel command line is full: it does not know %u VMs by name",
			 vm->name, left_out);
	return line;
}

enum vfuser_msix_mode vm_msix_mode(const char *version)
{
	return version_after(version, BUGGY_UP_TO_MAJOR, BUGGY_UP_TO_MINOR)
		       ? VFUSER_MSIX_NATIVE
		       : VFUSER_MSIX_MASQUERADE;
}

/* A member that is a string of a path to a file that we may read (or run). */
static bool check_file(const json_t *o, const char *key, const char *what, int mode, char *why,
		       size_t why_size)
{
	const json_t *v = json_object_get(o, key);
	const char *path = json_string_value(v);
	struct stat st;

	if (!path || strlen(path) != json_string_length(v) || path[0] != '/') {
		snprintf(why, why_size, "%s: '%s' must be an absolute path", what, key);
		return false;
	}
	if (stat(path, &st) < 0 || access(path, mode) < 0) {
		snprintf(why, why_size, "%s: %s: %s", what, path, strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, why_size, "%s: %s is not a file", what, path);
		return false;
	}
	return true;
}

/* An optional member that must be a plain string when it is there. */
static bool check_word(const json_t *o, const char *key, const char *what, char *why,
		       size_t why_size)
{
	const json_t *v = json_object_get(o, key);
	const char *s = json_string_value(v);

	if (!v || json_is_null(v) || (s && strlen(s) == json_string_length(v)))
		return true;
	snprintf(why, why_size, "%s: '%s' must be a string", what, key);
	return false;
}

bool vm_check_qemu(const json_t *qemu, char *why, size_t why_size, const char **hint)
{
	json_t *v, *args = json_object_get(qemu, "args");
	size_t i;

	*hint = "scripts/parts qemu --json finds or gets one; or install the package "
		"qemu-system-x86, version 10.1 or later";
	if (!check_file(qemu, "path", "QEMU", X_OK, why, why_size) ||
	    !check_word(qemu, "version", "QEMU", why, why_size))
		return false;
	if (args && !json_is_array(args)) {
		snprintf(why, why_size, "QEMU: 'args' must be an array of strings");
		return false;
	}
	json_array_foreach (args, i, v) {
		if (!json_is_string(v)) {
			snprintf(why, why_size, "QEMU: 'args' must be an array of strings");
			return false;
		}
	}
	if (json_array_size(args) > MAX_ARGS / 2) {
		snprintf(why, why_size, "QEMU: too many 'args'");
		return false;
	}
	return true;
}

bool vm_check_image(const json_t *image, const char *vm, char *why, size_t why_size,
		    const char **hint)
{
	json_t *drives = json_object_get(image, "drives"), *initrd, *d;
	char what[LAB_NAME_MAX + 32];
	size_t i;

	snprintf(what, sizeof(what), "VM %s", vm);
	*hint = "scripts/parts image KERNEL --json describes one";
	if (!json_is_object(image)) {
		snprintf(why, why_size, "VM %s: no image in 'parts'", vm);
		return false;
	}
	initrd = json_object_get(image, "initrd");
	if (!check_file(image, "kernel", what, R_OK, why, why_size) ||
	    (initrd && !json_is_null(initrd) &&
	     !check_file(image, "initrd", what, R_OK, why, why_size)) ||
	    !check_word(image, "agent", what, why, why_size) ||
	    !check_word(image, "cmdline", what, why, why_size) ||
	    !check_word(image, "name", what, why, why_size) ||
	    !check_word(image, "version", what, why, why_size))
		return false;
	if (drives && (!json_is_array(drives) || json_array_size(drives) > MAX_DRIVES)) {
		snprintf(why, why_size, "%s: 'drives' must be an array of at most %d", what,
			 MAX_DRIVES);
		return false;
	}
	json_array_foreach (drives, i, d) {
		snprintf(what, sizeof(what), "VM %s: drive %zu", vm, i);
		if (!check_file(d, "file", what, R_OK, why, why_size) ||
		    !check_word(d, "serial", what, why, why_size) ||
		    !check_word(d, "format", what, why, why_size) ||
		    !check_word(d, "interface", what, why, why_size))
			return false;
	}
	return true;
}
