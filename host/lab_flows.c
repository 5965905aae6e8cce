/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a lab file says of connections: how many a NIC may have, how long they live. */
#include "host/lab_internal.h"

#define LIFE_MAX 604800 /* a week; the switch counts milliseconds in 32 bits */

static uint32_t seconds(struct lab_doc *ld, const char *key, const uint32_t *given, uint32_t def)
{
	return lab_check_range(ld, lab_path("flows.%s", key).s, given, 1, LIFE_MAX, def, " s");
}

void lab_check_flows(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	const struct file_flows none = {0}, *from = f->flows ? f->flows : &none;

	lab->flows = (struct lab_flows){
		.max = lab_check_range(ld, "flows.max", from->max, 1, LAB_FLOWS_MAX,
				       LAB_FLOWS_DEFAULT, ""),
		.embryonic_s = seconds(ld, "embryonic_s", from->embryonic_s, 5),
		.established_s = seconds(ld, "established_s", from->established_s, 8000),
		.time_wait_s = seconds(ld, "time_wait_s", from->time_wait_s, 120),
		.reset_s = seconds(ld, "reset_s", from->reset_s, 5),
		.other_s = seconds(ld, "other_s", from->other_s, 60)};
}

json_t *lab_flows_to_json(const struct lab_flows *f)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "max", (json_int_t)f->max, "embryonic_s",
			 (json_int_t)f->embryonic_s, "established_s", (json_int_t)f->established_s,
			 "time_wait_s", (json_int_t)f->time_wait_s, "reset_s",
			 (json_int_t)f->reset_s, "other_s", (json_int_t)f->other_s);
}
