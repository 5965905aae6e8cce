/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections and the device's life: who may come, who drives it, what a reset leaves. */
#include "tests/vhost/vu_rig.h"

static void a_second_client_is_refused_and_the_first_does_not_notice(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu second;

	(void)state;
	assert_int_equal(vu_open(&second, rig_connect(r, 0), NULL), 0);
	assert_true(vu_closed(&second));
	vu_close(&second);
	assert_int_equal(rig_info(r, 0).refused, 1);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void a_client_may_come_again_and_again(void **state)
{
	struct rig *r = rig_start(NULL);

	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		rig_alive(r, 0, 1);
		/* The next is here before the end of the last has been seen. */
		vu_close(&r->c[0]);
		rig_up(r, 0, NULL);
	}
	rig_alive(r, 0, 1);
	assert_int_equal(rig_info(r, 0).connects, 21);
	assert_int_equal(rig_info(r, 0).refused, 0);
	assert_true(wait_until(r->events[0][VHOST_EV_DISCONNECTED] == 20, WAIT_MS));
	rig_stop(r);
}

static void a_client_that_we_drop_may_come_again(void **state)
{
	struct rig *r = rig_start(NULL);

	(void)state;
	vhost_disconnect(r->v[0]);
	assert_true(vu_closed(&r->c[0]));
	assert_false(rig_info(r, 0).driven);
	assert_int_equal(rig_info(r, 0).features, 0);
	rig_down(r, 0);
	rig_up(r, 0, NULL);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void it_is_driven_when_a_receive_ring_runs_and_no_longer(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vsw_port *port = vhost_port(r->v[0]);
	uint16_t base;

	(void)state;
	assert_true(atomic_load(&port->receiving));
	assert_int_equal(atomic_load(&port->caps),
			 VSW_CAP_CSUM | VSW_CAP_TSO4 | VSW_CAP_TSO6 | VSW_CAP_USO);
	assert_int_equal(vu_ack_state(&r->c[0], VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_false(atomic_load(&port->receiving));
	assert_int_equal(r->events[0][VHOST_EV_UNDRIVEN], 1);
	assert_int_equal(vu_ack_state(&r->c[0], VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_true(atomic_load(&port->receiving));
	/* The transmit ring does not matter. */
	assert_int_equal(vu_ring_stop(vu_txq(&r->c[0], 0), &base), 0);
	assert_true(atomic_load(&port->receiving));
	assert_int_equal(vu_ring_stop(vu_rxq(&r->c[0], 0), &base), 0);
	assert_false(atomic_load(&port->receiving));
	assert_int_equal(r->events[0][VHOST_EV_DRIVEN], 2);
	assert_int_equal(r->events[0][VHOST_EV_UNDRIVEN], 2);
	rig_stop(r);
}

static void a_reset_device_can_be_set_up_again(void **state)
{
	static const uint32_t resets[] = {VHOST_USER_RESET_DEVICE, VHOST_USER_RESET_OWNER,
					  VHOST_USER_SET_STATUS};
	struct rig *r = rig_start(NULL);
	struct vu *c = &r->c[0];
	uint64_t zero = 0;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(resets); i++) {
		uint32_t size = resets[i] == VHOST_USER_SET_STATUS ? 8 : 0;

		assert_int_equal(vu_ack(c, resets[i], &zero, size, NULL, 0), 0);
		assert_false(rig_info(r, 0).driven);
		assert_int_equal(rig_info(r, 0).features, 0);
		assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_FEATURES, c->features), 0);
		for (unsigned int k = 0; k < 2; k++) {
			struct vu_ring *q = &c->ring[k];

			assert_int_equal(vu_ring_start(q, q->last_used), 0);
			assert_int_equal(vu_ring_enable(q, true), 0);
		}
		assert_int_equal(vu_sync(c), 0);
		rig_alive(r, 0, 1);
	}
	rig_stop(r);
}

static void a_front_end_without_protocol_features_needs_no_enable(void **state)
{
	struct rig_conf conf = {.client.features = VU_BIT(VIRTIO_F_VERSION_1) |
						   VU_BIT(VIRTIO_NET_F_MRG_RXBUF)};
	struct rig *r = rig_start(&conf);

	(void)state;
	assert_int_equal(rig_info(r, 0).protocol_features, 0);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void a_device_may_go_while_a_client_is_there(void **state)
{
	struct rig *r = rig_start(NULL);

	(void)state;
	vsw_port_detach(vhost_port(r->v[0]));
	vhost_free(r->v[0]);
	assert_true(vu_closed(&r->c[0]));
	assert_int_equal(access(r->path[0], F_OK), -1);
	vu_close(&r->c[0]);
	r->open[0] = false;
	r->v[0] = vhost_new(r->worker[0], &(struct vhost_conf){.name = "a/eth0"});
	assert_int_equal(vsw_port_attach(r->net, vhost_port(r->v[0])), 0);
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_client_is_refused_and_the_first_does_not_notice),
		cmocka_unit_test(a_client_may_come_again_and_again),
		cmocka_unit_test(a_client_that_we_drop_may_come_again),
		cmocka_unit_test(it_is_driven_when_a_receive_ring_runs_and_no_longer),
		cmocka_unit_test(a_reset_device_can_be_set_up_again),
		cmocka_unit_test(a_front_end_without_protocol_features_needs_no_enable),
		cmocka_unit_test(a_device_may_go_while_a_client_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
