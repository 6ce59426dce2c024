//! Learning goes on where its device is lost: on the device opened anew, to the same bits where it is the same one.

use shaders::{Device, Error};

/// Makes something on a device; where that is lost, once more on it opened anew.
///
/// # Errors
/// What the device says.
pub fn made<T>(device: &mut Device, mut make: impl FnMut(&Device) -> Result<T, Error>) -> Result<T, Error> {
    match make(device) {
        Err(error) if error.is_device_lost() => {
            tracing::warn!("{error}: it is opened again");
            *device = device.reopen()?;
            make(device)
        }
        made => made,
    }
}

/// Does something with a network; where its device is lost, once more with the same network (`moved`) on the device opened
/// anew: what failed has changed nothing.
///
/// # Errors
/// What the device says.
pub fn done<N, T>(
    (network, device): (&mut N, &mut Device),
    moved: impl FnOnce(&Device, &N) -> Result<N, Error>,
    mut what: impl FnMut(&mut N) -> Result<T, Error>,
) -> Result<T, Error> {
    match what(network) {
        Err(error) if error.is_device_lost() => {
            tracing::warn!("{error}: it is opened again, the network goes on there");
            *device = device.reopen()?;
            *network = moved(device, network)?;
            what(network)
        }
        done => done,
    }
}
