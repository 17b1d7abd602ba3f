"""h5py's own functions, taken before any of them is replaced.

The layer calls these for everything that does not change a file, and where an
identifier must stay plain. Nothing else in the package may import names from
h5py's modules that `patches` replaces and then mean the original.
"""

from __future__ import annotations

from h5py import AttributeManager, File, Group, _selector, h5a, h5d, h5ds, h5f, h5g, h5i, h5o, h5r, h5t
from h5py._objects import nonlocal_close, phil

__all__ = ["File", "nonlocal_close", "phil", "selector"]

selector = _selector

# --- identifiers
open_object = h5o.open
open_group = h5g.open
create_group = h5g.create
open_dataset = h5d.open
create_dataset = h5d.create
open_attribute = h5a.open
create_attribute = h5a.create
open_type = h5t.open
dereference = h5r.dereference
get_file_id = h5i.get_file_id
wrap_identifier = h5i.wrap_identifier
get_obj_ids = h5f.get_obj_ids
iterate_scales = h5ds.iterate

# --- looking
handle = h5d.DatasetID.id.__get__  # the number of an identifier, whatever a subclass makes of it
is_valid = h5d.DatasetID.valid.__get__  # whether HDF5 knows the handle, whatever a subclass makes of it
get_space = h5d.DatasetID.get_space
get_name = h5i.get_name
get_info = h5o.get_info
get_objinfo = h5g.get_objinfo
inc_ref = h5i.inc_ref
attribute_exists = h5a.exists
create_reference = h5r.create
name_of_reference = h5r.get_name
region_of_reference = h5r.get_region
get_file_name = h5f.get_name

# --- whole files
open_file = h5f.open
create_file = h5f.create

# --- changing
link = h5o.link
copy = h5o.copy
set_comment = h5o.set_comment
delete_attribute = h5a.delete
rename_attribute = h5a.rename
set_scale = h5ds.set_scale
attach_scale = h5ds.attach_scale
detach_scale = h5ds.detach_scale
set_label = h5ds.set_label
flush = h5f.flush
mount = h5f.mount
unmount = h5f.unmount

# --- methods of the high-level classes
group_setitem = Group.__setitem__
create_in_group = Group.create_dataset
group_in_group = Group.create_group
attribute_create = AttributeManager.create
file_exit = File.__exit__
file_init = File.__init__
Reader = _selector.Reader  # the way of reading that goes past the identifier's methods
