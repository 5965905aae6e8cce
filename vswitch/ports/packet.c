/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the port of a packet socket.
 *
 * From the kernel: a ring of slots that it fills in its own time (TPACKET_V2), each as large as the
 * largest packet, so that what TSO or GRO made arrives whole. A slot is read where it is and given
 * back when the switch has taken the packet. No system call but the poll before sleeping. A ring
 * of blocks (TPACKET_V3) costs a little less and shows a lone frame after a millisecond;
 * tests/bench/bench_uplink.c has all of them side by side.
 *
 * The kernel takes the outer VLAN tag out of the frame before we see it and says so beside it. A
 * tag of 802.1Q goes on as PKT_VLAN; one of 802.1ad, which that does not know, back into the frame.
 *
 * To the kernel: sendmmsg(), up to KPORT_BATCH frames a call.
 */
#define LOG_TAG "uplink"
#include "vswitch/ports/packet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/wire.h"
#include "vswitch/ports/kport.h"
#include "vswitch/ports/packet_filter.h"

#define HDR_SIZE    VIRTIO_NET_HDR_SHORT
#define TAG_LEN	    4
/* The kernel's header and padding before a frame are less than 256 bytes (TPACKET2_HDRLEN). */
#define SLOT_SIZE   (KPORT_MAX_FRAME + 256)
#define BLOCK_SIZE  (1u << 20)
#define BLOCK_SLOTS (BLOCK_SIZE / SLOT_SIZE)
#define N_BLOCKS    32u
#define N_SLOTS	    (N_BLOCKS * BLOCK_SLOTS)
#define RING_SIZE   ((size_t)N_BLOCKS * BLOCK_SIZE)
/*
 * Bytes of frames on their way in the kernel before a sender has to wait; the kernel doubles it. A
 * queue of 1000 of the smallest frames, an interface's usual one, is not overrun.
 */
#define SEND_BUFFER (384 << 10)

struct packet {
	struct kport k;
	int fd;
	uint32_t flags;
	uint8_t *ring;
	unsigned int next, oldest; /* slot to read; first that has not been given back */
	_Atomic uint64_t kernel_drops;
};

static struct tpacket2_hdr *slot(const struct packet *p, unsigned int i)
{
	return (void *)(p->ring + (size_t)(i / BLOCK_SLOTS) * BLOCK_SIZE +
			(size_t)(i % BLOCK_SLOTS) * SLOT_SIZE);
}

/* ---- from the kernel ---- */

static void count_drops(struct packet *p)
{
	struct tpacket_stats st;
	socklen_t size = sizeof(st);

	/* Reading resets it. */
	if (getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &st, &size) == 0)
		atomic_fetch_add(&p->kernel_drops, st.tp_drops);
}

/* The tag back between the addresses and the type; there is room, the vnet header was read. */
static uint8_t *insert_tag(uint8_t *frame, const struct tpacket2_hdr *s, struct virtio_net_hdr *h)
{
	memmove(frame - TAG_LEN, frame, 12);
	frame -= TAG_LEN;
	be16_store(frame + 12, s->tp_vlan_tpid);
	be16_store(frame + 14, s->tp_vlan_tci);
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		h->csum_start = le16_make((uint16_t)(le16_get(h->csum_start) + TAG_LEN));
	return frame;
}

static void take_slot(struct packet *p, unsigned int i, struct tpacket2_hdr *s)
{
	uint8_t *frame = (uint8_t *)s + s->tp_mac;
	uint32_t len = s->tp_snaplen;
	struct virtio_net_hdr h = {0};
	int tci = -1;

	memcpy(&h, frame - HDR_SIZE, HDR_SIZE);
	if (s->tp_status & TP_STATUS_VLAN_VALID) {
		if (s->tp_status & TP_STATUS_VLAN_TPID_VALID && s->tp_vlan_tpid != ETH_P_8021Q) {
			frame = insert_tag(frame, s, &h);
			len += TAG_LEN;
		} else {
			tci = s->tp_vlan_tci;
		}
	}
	kport_take(&p->k, i, &h, frame, len, p->flags, tci);
	if (s->tp_snaplen != s->tp_len)
		vnet_hdr_malformed(&p->k.in[i]);
}

static unsigned int packet_read(struct kport *k)
{
	struct packet *p = CONTAINER_OF(k, struct packet, k);
	unsigned int i;

	for (i = 0; i < KPORT_BATCH; i++) {
		struct tpacket2_hdr *s = slot(p, p->next);
		uint32_t status = __atomic_load_n(&s->tp_status, __ATOMIC_ACQUIRE);

		if (!(status & TP_STATUS_USER))
			break;
		if (status & TP_STATUS_LOSING)
			count_drops(p);
		take_slot(p, i, s);
		p->next = (p->next + 1) % N_SLOTS;
	}
	return i;
}

static void packet_release(struct kport *k, unsigned int n)
{
	struct packet *p = CONTAINER_OF(k, struct packet, k);

	for (; n; n--) {
		__atomic_store_n(&slot(p, p->oldest)->tp_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
		p->oldest = (p->oldest + 1) % N_SLOTS;
	}
}

/* The interface went down or away. Reading the error takes it off; the opener sees to the rest. */
static void packet_error(struct kport *k)
{
	struct packet *p = CONTAINER_OF(k, struct packet, k);
	socklen_t size = sizeof(int);
	int error = 0;

	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	log_debug("%s: %s", k->port.name, strerror(error));
}

/* ---- to the kernel ---- */

static unsigned int packet_write(struct kport *k, unsigned int from, int *error)
{
	struct packet *p = CONTAINER_OF(k, struct packet, k);
	struct mmsghdr msgs[KPORT_BATCH];
	unsigned int n = k->n_out - from;
	int done;

	memset(msgs, 0, n * sizeof(msgs[0]));
	for (unsigned int i = 0; i < n; i++) {
		msgs[i].msg_hdr.msg_iov = k->out[from + i].iov;
		msgs[i].msg_hdr.msg_iovlen = k->out[from + i].n_iov;
	}
	/* Stops at the first that fails, and says why only when that one is the first of a call. */
	done = sendmmsg(p->fd, msgs, n, MSG_DONTWAIT);
	if (done >= 0 && (unsigned int)done < n &&
	    sendmsg(p->fd, &msgs[done].msg_hdr, MSG_DONTWAIT) >= 0)
		return (unsigned int)done + 1;
	if (done < 0 || (unsigned int)done < n)
		*error = errno;
	return done < 0 ? 0 : (unsigned int)done;
}

static const struct kport_ops ops = {
	.read = packet_read,
	.release = packet_release,
	.write = packet_write,
	.error = packet_error,
};

/* ---- making and ending ---- */

static int set_option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int check_interface(int fd, const char *ifname, int *ifindex)
{
	struct ifreq ifr = {0};

	if (strlen(ifname) >= sizeof(ifr.ifr_name))
		return -ENODEV;
	memcpy(ifr.ifr_name, ifname, strlen(ifname));
	if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	*ifindex = ifr.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		return -errno;
	return ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER ? 0 : -EINVAL;
}

static int be_promiscuous(int fd, int ifindex)
{
	struct packet_mreq mreq = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};

	return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) < 0 ? -errno
											  : 0;
}

static int set_up(int fd, const char *ifname, uint32_t flags)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htobe16(ETH_P_ALL)};
	int size = SEND_BUFFER, rc;

	rc = check_interface(fd, ifname, &ll.sll_ifindex);
	if (!rc)
		rc = set_option(fd, PACKET_VERSION, TPACKET_V2);
	if (!rc)
		rc = set_option(fd, PACKET_VNET_HDR, 1);
	if (!rc)
		rc = set_option(fd, PACKET_IGNORE_OUTGOING, 1);
	if (!rc && !(flags & PACKET_OWN))
		rc = be_promiscuous(fd, ll.sll_ifindex);
	if (rc)
		return rc;
	/* The first needs CAP_NET_ADMIN; without it the system's own limit does. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0 ? -errno : 0;
}

int packet_open(const char *ifname, uint32_t flags)
{
	/* No protocol: nothing comes before bind(). */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return -errno;
	rc = set_up(fd, ifname, flags);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static int make_ring(struct packet *p)
{
	struct tpacket_req req = {.tp_block_size = BLOCK_SIZE,
				  .tp_block_nr = N_BLOCKS,
				  .tp_frame_size = SLOT_SIZE,
				  .tp_frame_nr = N_SLOTS};

	if (setsockopt(p->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		return -errno;
	p->ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (p->ring == MAP_FAILED) {
		p->ring = NULL;
		return -errno;
	}
	return 0;
}

/*
 * Bound anew. The kernel takes the protocol off the socket while it makes the ring, and does not hear
 * then that the interface has come up (packet_set_ring(), packet_notifier()): nothing would ever
 * arrive. Binding to what is bound already does nothing, so it goes by another protocol.
 */
static int bind_again(int fd)
{
	struct sockaddr_ll ll;
	socklen_t size = sizeof(ll);

	if (getsockname(fd, (struct sockaddr *)&ll, &size) < 0)
		return -errno;
	ll.sll_protocol = htobe16(ETH_P_LOOP);
	if (bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		return -errno;
	ll.sll_protocol = htobe16(ETH_P_ALL);
	return bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0 ? -errno : 0;
}

struct packet *packet_new(struct worker *w, const char *name, int fd, const uint8_t mac[6],
			  uint32_t flags)
{
	struct packet *p = calloc(1, sizeof(*p));
	int rc = -ENOMEM;

	if (p) {
		p->fd = fd;
		p->flags = flags;
		rc = make_ring(p);
	}
	if (!rc)
		rc = bind_again(fd);
	if (!rc)
		rc = kport_start(&p->k, &ops, w, name, mac, fd, kport_caps(flags, true));
	if (!rc)
		return p;
	if (p && p->ring)
		munmap(p->ring, RING_SIZE);
	fd_close(&fd);
	free(p);
	errno = -rc;
	return NULL;
}

void packet_free(struct packet *p)
{
	if (!p)
		return;
	kport_stop(&p->k);
	munmap(p->ring, RING_SIZE);
	fd_close(&p->fd);
	free(p);
}

struct vsw_port *packet_port(struct packet *p)
{
	return &p->k.port;
}

void packet_set_link(struct packet *p, bool up)
{
	kport_set_link(&p->k, up);
}

void packet_set_mtu(struct packet *p, uint32_t mtu)
{
	atomic_store(&p->k.mtu, mtu);
}

int packet_filter(struct packet *p, const struct packet_prefix *list, unsigned int n)
{
	struct sock_fprog prog;
	int rc = packet_filter_make(list, n, &prog);

	if (rc)
		return rc;
	rc = setsockopt(p->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
	free(prog.filter);
	return rc;
}

uint64_t packet_kernel_drops(struct packet *p)
{
	count_drops(p);
	return atomic_load(&p->kernel_drops);
}
